"""The one place that speaks to PostgreSQL: guarded sessions, read-only, through asyncpg."""

import itertools
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from backend_doctor.backends.login import log_in
from backend_doctor.backends.postgres.framing import FramingError, framed
from backend_doctor.backends.postgres.guards import BEGIN, GUARD_SESSION, begin_guarded
from backend_doctor.backends.postgres.refusals import (
    BLIND_CODES,
    PASSING_CODES,
    POOLER_REFUSES,
    NoPlanError,
    said_in_english,
)
from backend_doctor.backends.postgres.rows import rows_of, text_of
from backend_doctor.backends.postgres.tls import is_local, tls_context
from backend_doctor.backends.sql import quote_identifier, quote_literal
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import AbsenceKind, Absent, Login, Problem

if TYPE_CHECKING:
    import asyncpg
    import asyncpg.prepared_stmt

APPLICATION_NAME = "backend-doctor"
_READS = "backend_doctor_read_"
_POOLER_NOTE = (
    "a pooler stands between: the server's process differs from the one that logged us in; "
    "sessions are read through short read-only transactions and nothing is set on them"
)
_CODES = {
    "28P01": Problem.LOGIN,
    "28000": Problem.LOGIN,
    "3D000": Problem.LOGIN,
    "42501": Problem.RIGHTS,
    "53300": Problem.FULL,
    "57P03": Problem.STARTING,
}


class PostgresConnection:
    """A guarded session. ``pooled`` when a pooler stands between; ``statements`` counts ours,
    without BEGIN and COMMIT."""

    def __init__(self, driver: "asyncpg.Connection[Any]") -> None:
        self._driver = driver
        self.statements = 0
        self.pooled = False
        self._names = itertools.count(1)
        self._prepared_reads: dict[str, asyncpg.prepared_stmt.PreparedStatement[Any]] = {}

    async def fetch(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """The rows of one of our own statements; bytes come as text, what is no UTF-8 escaped.

        Raises Absent when the server says that it has no such thing, or not for us.
        """
        import asyncpg

        try:
            if self.pooled:
                return await self._fetch_in_transaction(sql, *arguments)
            return await self._fetch_prepared(sql, *arguments)
        except asyncpg.PostgresError as error:
            reason = BLIND_CODES.get(error.sqlstate or "")
            if reason is None:
                raise
            kind = AbsenceKind.FAILED if error.sqlstate in PASSING_CODES else AbsenceKind.BLIND
            raise Absent(f"{reason} ({error.sqlstate} {error})", kind=kind) from error

    async def try_fetch(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """Like :meth:`fetch`, but raises Absent whatever the server says."""
        import asyncpg

        try:
            return await self.fetch(sql, *arguments)
        except asyncpg.PostgresError as error:
            reason = f"the server refused ({error.sqlstate} {error})"
            raise Absent(reason, kind=AbsenceKind.FAILED) from error

    async def _fetch_prepared(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        # asyncpg has the server parse a statement without a name twice; one with a name would
        # be lost, or left behind, in a pooler's server session
        self.statements += 1
        if sql not in self._prepared_reads:
            name = f"{_READS}{next(self._names)}"
            self._prepared_reads[sql] = await self._driver.prepare(sql, name=name)
        return rows_of(await self._prepared_reads[sql].fetch(*arguments))

    async def _fetch(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        self.statements += 1
        return rows_of(await self._driver.fetch(sql, *arguments))

    async def _fetch_in_transaction(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        try:
            await self._driver.execute(begin_guarded())
            return await self._fetch(sql, *arguments)
        finally:
            await self._driver.execute("ROLLBACK")

    async def explain(
        self,
        text: str,
        values: Sequence[str | None],
        *,
        search_path: Sequence[str],
        analyze: bool = False,
        parallel: bool = True,
    ) -> str:
        """The plan of an application's SELECT as EXPLAIN's JSON: generic when all ``values`` are
        None, else made for them. It runs only with ``analyze``, and is rolled back.

        Raises NoPlanError; our locks are gone when this returns.
        """
        import asyncpg

        generic = all(value is None for value in values)
        local = {"plan_cache_mode": f"force_{'generic' if generic else 'custom'}_plan"}
        if analyze or not parallel:
            local["max_parallel_workers_per_gather"] = "0"
        try:
            await self._begin_for(search_path, local)
            return await self._explained(text, values, analyze)
        except asyncpg.PostgresError as error:
            raise NoPlanError.said(error) from error
        finally:
            await self._driver.execute("ROLLBACK")

    async def parse(self, text: str, *, search_path: Sequence[str]) -> None:
        """Has the server read a statement, not plan or run it. Raises NoPlanError."""
        try:
            await self._begin_for(search_path, {})
            await self._driver.execute(f"DEALLOCATE {await self._prepared(text)}")
        finally:
            await self._driver.execute("ROLLBACK")

    async def _begin_for(self, search_path: Sequence[str], more: dict[str, str]) -> None:
        # the planner is to search as it does for the application
        as_usual = {"join_collapse_limit": "DEFAULT"}
        path = ", ".join(map(quote_identifier, search_path)) or "''"
        await self._driver.execute(begin_guarded(**as_usual, **more, search_path=path))

    async def _prepared(self, text: str) -> str:
        """Its name; by the extended protocol, which takes one command only. Raises NoPlanError."""
        import asyncpg

        name = f"backend_doctor_plan_{next(self._names)}"
        prepare = f"PREPARE {name} AS "
        self.statements += 1
        try:
            await self._driver.fetch(prepare + text)
        except asyncpg.PostgresError as error:
            raise NoPlanError.said(error, len(prepare)) from error
        return name

    async def _explained(self, text: str, values: Sequence[str | None], analyze: bool) -> str:
        import asyncpg

        options = "ANALYZE, BUFFERS, TIMING OFF, " if analyze else ""
        given = ", ".join("NULL" if one is None else quote_literal(one) for one in values)
        name = await self._prepared(text)
        await self._driver.execute("SAVEPOINT prepared")
        try:
            rows = await self._driver.fetch(
                f"EXPLAIN ({options}VERBOSE, FORMAT JSON) EXECUTE {name}"
                + (f"({given})" if values else "")
            )
        except asyncpg.PostgresError:
            await self._driver.execute("ROLLBACK TO SAVEPOINT prepared")
            await self._driver.execute(f"DEALLOCATE {name}")
            raise
        # a prepared statement would outlive the transaction
        await self._driver.execute(f"DEALLOCATE {name}")
        return str(text_of(rows[0][0]))

    async def guard(self) -> None:
        """Finds out whether a pooler stands between; if not, makes the session read-only."""
        logged_in = self._driver.get_server_pid()
        await self._driver.execute(BEGIN)
        try:
            row = (await self._fetch(GUARD_SESSION, logged_in))[0]
        finally:
            await self._driver.execute("COMMIT")
        self.pooled = row["pid"] != logged_in

    @property
    def farewell(self) -> tuple[str, str] | None:
        """SQLSTATE and message with which the server ended the session, if it said so."""
        return getattr(getattr(self._driver, "_protocol", None), "farewell", None)

    def is_closed(self) -> bool:
        """Whether the session has ended."""
        return self._driver.is_closed()

    async def close(self) -> None:
        """Ends the session."""
        await self._driver.close(timeout=0.4)

    def abort(self) -> None:
        """Drops the session at once; the server's statement_timeout ends what still runs."""
        self._driver.terminate()


async def _open(endpoint: Endpoint, limit: float) -> "asyncpg.Connection[Any]":
    import asyncpg
    from asyncpg import protocol
    from asyncpg.connect_utils import SessionAttribute

    # asyncpg takes no protocol of the caller's
    protocol.Protocol = framed(protocol.Protocol)  # type: ignore[misc]

    async def attempt(context: ssl.SSLContext | bool) -> "asyncpg.Connection[Any]":
        driver: asyncpg.Connection[Any] = await asyncpg.connect(
            host=[endpoint.socket] if endpoint.socket else [host for host, _ in endpoint.hosts],
            port=[endpoint.port] if endpoint.socket else [port for _, port in endpoint.hosts],
            user=endpoint.user,
            password=endpoint.password.reveal() if endpoint.password else None,
            database=endpoint.database,
            ssl=context,
            timeout=limit,
            statement_cache_size=0,
            target_session_attrs=SessionAttribute.any,
            server_settings={"application_name": APPLICATION_NAME},
        )
        return driver

    mode = endpoint.tls.mode
    # asyncpg's own `prefer` logs in a second time after a refused login; ours never does:
    # the second attempt follows only a server that said it has no TLS, before any login
    if mode in ("disable", "allow") or (mode == "prefer" and is_local(endpoint)):
        return await attempt(False)
    try:
        return await attempt(tls_context(endpoint.tls))
    except ConnectionError as error:
        if mode != "prefer" or "rejected SSL" not in str(error):
            raise
        return await attempt(False)


def _classify(error: BaseException, endpoint: Endpoint) -> tuple[Problem, str, str] | None:
    import asyncpg

    # asyncpg's own word, not the server's: the error beneath it says more
    if isinstance(error, asyncpg.ConnectionDoesNotExistError):
        return None
    if isinstance(error, asyncpg.PostgresError):
        code, message = error.sqlstate or "", said_in_english(error, endpoint)
        if "max_client_conn" in message or "no more connections allowed" in message:
            return Problem.FULL, code, message
        if code == "08P01" and POOLER_REFUSES.search(message):
            return Problem.LOGIN, code, message
        return _CODES.get(code, Problem.OTHER), code, message
    if isinstance(error, FramingError):
        return Problem.WRONG_PROTOCOL, "", str(error)
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
        return Problem.TLS, "", "the server does not offer TLS, and sslmode demands it"
    if isinstance(error, asyncpg.ClientConfigurationError):
        return Problem.TLS, "", str(error)
    return None


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, PostgresConnection | None]:
    """One login, then the guards; see :func:`log_in` for failures."""

    async def opening() -> tuple[PostgresConnection, str]:
        driver = await _open(endpoint, limit)
        connection = PostgresConnection(driver)
        try:
            await connection.guard()
        except BaseException:
            driver.terminate()
            raise
        version = driver.get_server_version()
        # asyncpg's third number: since PostgreSQL 10 a version has two, and its minor is 0
        return connection, f"PostgreSQL {version.major}.{version.micro}"

    login, connection = await log_in(
        opening,
        lambda error: _classify(error, endpoint),
        endpoint=endpoint,
        protocol="PostgreSQL",
        limit=limit,
    )
    if connection is not None and connection.pooled:
        login = msgspec.structs.replace(login, notes=(_POOLER_NOTE,))
    return login, connection
