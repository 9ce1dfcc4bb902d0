"""The one place that speaks to PgBouncer's console: one connection, SHOW only, through psycopg.

The console knows the simple query protocol alone, which asyncpg does not speak.
"""

import asyncio
import errno
import ipaddress
import os
import re
import socket
from typing import TYPE_CHECKING

import msgspec

from backend_doctor.backends.login import log_in
from backend_doctor.backends.pgbouncer.words import FAILURES, allow
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Absent, Login, Problem

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "backend-doctor"
COMMANDS = frozenset({"CLIENTS", "CONFIG", "DATABASES", "LISTS", "POOLS", "SERVERS", "STATS"})
"""What is ever asked for, each with SHOW in front; and VERSION at the login."""
_CONSOLE = "pgbouncer"
_POSTGRES_ITSELF = 'database "pgbouncer"'
_NETWORK = {
    os.strerror(number): number
    for number in (errno.ECONNREFUSED, errno.ENOENT, errno.EHOSTUNREACH, errno.ENETUNREACH)
}
_SAID = r"(?s)\b(?:FATAL|ERROR): +(.*)"

Row = dict[str, str]


class _NotTheConsoleError(Exception):
    """What answers speaks PostgreSQL's protocol and is no PgBouncer."""


class ConsoleConnection:
    """One login to the console. ``statements`` counts the SHOWs sent."""

    def __init__(self, driver: "psycopg.AsyncConnection[tuple[object, ...]]", user: str) -> None:
        self._driver = driver
        self.user = user
        self.statements = 0

    async def show(self, what: str) -> list[Row]:
        """The rows of ``SHOW`` with one of :data:`COMMANDS`, as text; NULL is left out.

        Raises Absent where this version does not know it, or not for this user.
        """
        import psycopg

        if what not in COMMANDS:
            raise ValueError(f"{what} is not among the commands that we send")
        try:
            return await self._ask(f"SHOW {what}")
        except psycopg.ProgrammingError as error:
            raise self._absent(what, str(error)) from error
        except psycopg.OperationalError as error:
            if self._driver.closed:
                raise
            raise self._absent(what, str(error)) from error

    def _absent(self, what: str, said: str) -> Absent:
        if "admin access needed" in said:
            return Absent(f"user {self.user} may not SHOW {what}", remedy=allow(self.user))
        return Absent(f"this PgBouncer does not know SHOW {what} ({said})")

    async def version(self) -> str:
        """Product and version. Raises _NotTheConsoleError when PostgreSQL itself answers."""
        import psycopg

        try:
            (row,) = await self._ask("SHOW VERSION")
        except psycopg.ProgrammingError as error:
            raise _NotTheConsoleError from error
        said = next(iter(row.values()), "")
        # 1.11 and before answer by a notice, as "PgBouncer version 1.11.0"
        return said.replace("PgBouncer version", "PgBouncer") or "PgBouncer"

    async def _ask(self, command: str) -> list[Row]:
        """Bytes are decoded here: names need not be UTF-8, and the driver's loaders insist."""
        self.statements += 1
        task = asyncio.ensure_future(self._driver.execute(command))
        try:
            cursor = await asyncio.shield(task)
        except asyncio.CancelledError:
            # first: the driver would open a second connection to cancel what runs
            self.abort()
            task.cancel()
            raise
        result = cursor.pgresult
        if result is None:
            return []
        names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
        return [
            {
                name: value.decode("utf-8", "backslashreplace")
                for i, name in enumerate(names)
                if (value := result.get_value(row, i)) is not None
            }
            for row in range(result.ntuples)
        ]

    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return bool(self._driver.closed)

    async def close(self) -> None:
        """Ends the connection."""
        await self._driver.close()

    def abort(self) -> None:
        """Closes the socket at once."""
        self._driver.pgconn.finish()


async def _addresses(endpoint: Endpoint) -> list[tuple[str, str, int]]:
    """(host, address, port) in the order to try them; the address "" on a socket."""
    if endpoint.socket:
        return [(endpoint.socket, "", endpoint.port)]
    loop, found = asyncio.get_running_loop(), []
    for host, port in endpoint.hosts:
        if _is_address(host):
            found.append((host, host, port))
            continue
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found += [(host, str(info[4][0]), port) for info in infos]
    return list(dict.fromkeys(found))


def _is_address(host: str) -> bool:
    """Whether no name needs to be resolved, for which a thread would be started."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str, address: str) -> bool:
    return not address or host == "localhost" or address.startswith("127.") or address == "::1"


async def _attempt(
    endpoint: Endpoint, host: str, address: str, port: int, mode: str
) -> "psycopg.AsyncConnection[tuple[object, ...]]":
    import psycopg

    tls = endpoint.tls
    return await psycopg.AsyncConnection.connect(
        host=host,
        hostaddr=address or None,
        port=port,
        dbname=_CONSOLE,
        user=endpoint.user,
        password=endpoint.password.reveal() if endpoint.password else None,
        application_name=APPLICATION_NAME,
        # else PGOPTIONS would be sent, which PgBouncer refuses
        options="",
        sslmode=mode,
        sslrootcert=tls.ca_file,
        sslcert=tls.cert_file,
        sslkey=tls.key_file,
        # libpq's own second tries: without encryption, with it, at another address
        gssencmode="disable",
        target_session_attrs="any",
        autocommit=True,
        prepare_threshold=None,
    )


async def _open(endpoint: Endpoint) -> "psycopg.AsyncConnection[tuple[object, ...]]":
    """One login: another address, or a plain connection, is tried only where none began."""
    import psycopg

    places = await _addresses(endpoint)
    for number, (host, address, port) in enumerate(places, 1):
        mode = endpoint.tls.mode
        if mode in ("disable", "allow") or (mode == "prefer" and _is_local(host, address)):
            mode = "disable"
        try:
            return await _attempt(
                endpoint, host, address, port, "require" if mode == "prefer" else mode
            )
        except psycopg.OperationalError as error:
            said = str(error)
            if mode == "prefer" and "does not support SSL" in said:
                return await _attempt(endpoint, host, address, port, "disable")
            if number == len(places) or not any(words in said for words in _NETWORK):
                raise
    raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def _classify(error: BaseException) -> tuple[Problem, str, str] | None:
    import psycopg

    if isinstance(error, _NotTheConsoleError):
        return Problem.WRONG_PROTOCOL, "", f"{_POSTGRES_ITSELF} is one of PostgreSQL's own"
    if not isinstance(error, psycopg.Error):
        return None
    said = str(error)
    for words, number in _NETWORK.items():
        if words in said:
            problem = Problem.REFUSED
            if number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
                problem = Problem.TIMED_OUT
            return problem, errno.errorcode[number], words
    spoken = re.search(_SAID, said)
    message = " ".join((spoken[1] if spoken else said.rpartition(" failed: ")[2]).split())
    for problem, pattern in FAILURES:
        if re.search(pattern, message, re.IGNORECASE):
            return problem, error.sqlstate or "", message
    return Problem.OTHER, error.sqlstate or "", message


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, ConsoleConnection | None]:
    """One login and SHOW VERSION; see :func:`log_in` for failures."""

    async def opening() -> tuple[ConsoleConnection, str]:
        connection = ConsoleConnection(await _open(endpoint), endpoint.user or "")
        try:
            return connection, await connection.version()
        except BaseException:
            connection.abort()
            raise

    login, connection = await log_in(
        opening, _classify, endpoint=endpoint, protocol="PostgreSQL", limit=limit
    )
    if login.problem is Problem.WRONG_PROTOCOL and _POSTGRES_ITSELF in login.message:
        login = msgspec.structs.replace(login, answered_by="PostgreSQL")
    return login, connection
