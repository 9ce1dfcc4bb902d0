"""The one place that speaks to MongoDB: one session to one member, reads only, through Motor.

Motor is past its makers' date of support. To put PyMongo's ``AsyncMongoClient`` in its place,
change this file alone: its calls are the same but for ``close``, which must be awaited there.
"""

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from backend_doctor.backends.login import log_in
from backend_doctor.backends.mongodb.members import SeedListError, Seeds, seeds_of
from backend_doctor.backends.mongodb.preflight import (
    ForeignError,
    FullError,
    Member,
    TlsMismatchError,
    hangs_up,
    hello,
)
from backend_doctor.backends.tls import TlsFileError, check_files, context_of
from backend_doctor.endpoint import Endpoint, Tls
from backend_doctor.facts import AbsenceKind, Absent, Login, Problem

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClient

APPLICATION_NAME = "backend-doctor"
COMMANDS = frozenset({"buildInfo", "ping", "listDatabases", "serverStatus"})
"""The commands that we may ever send, besides the driver's own hello and login."""
OWN_CONNECTIONS = 2
"""What one session of ours costs the server: one for the commands, one for the driver's watch."""
_MOST_MS = 2000
_SOCKET_MS = 3000
_AUTHENTICATION_FAILED = 18
_UNAUTHORIZED = 13
_OUT_OF_TIME = 50
# ShutdownInProgress, InterruptedAtShutdown, InterruptedDueToReplStateChange,
# NotPrimaryOrSecondary
_NOT_READY = {91, 11600, 11602, 13436}


class _SetNameError(Exception):
    """The member belongs to another replica set than the URL names."""


class _NotOpenError(Exception):
    """The server wants a login, and none is configured."""

    def __str__(self) -> str:
        return "it asks for a user and password, and none are configured"


class MongoConnection:
    """One session with one member. ``statements`` counts our commands, the driver's left out."""

    def __init__(self, client: "AsyncIOMotorClient[dict[str, Any]]", user: str) -> None:
        self._client = client
        self._closed = False
        self.user = user
        self.statements = 0

    async def command(self, name: str, **options: Any) -> dict[str, Any]:
        """The reply to one of :data:`COMMANDS`, run against ``admin``, ended by the server after
        2 s: a call that we cancel would run on.

        Raises Absent, with the role that helps, for a command that this user may not run.
        """
        from pymongo.errors import ConnectionFailure, OperationFailure

        if name not in COMMANDS:
            raise ValueError(f"{name} is not among the commands that we send")
        if self._closed:
            # the driver would silently log in a second time
            raise ConnectionResetError("the connection was closed")
        self.statements += 1
        try:
            reply: dict[str, Any] = await self._client["admin"].command(
                name, maxTimeMS=_MOST_MS, **options
            )
        except ConnectionFailure:
            self._closed = True
            raise
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED:
                raise
            who = f"user {self.user}" if self.user else "whoever is not logged in"
            raise Absent(
                f"{who} may not run {name}", remedy=allow(self.user), kind=AbsenceKind.BLIND
            ) from error
        return reply

    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    async def close(self) -> None:
        """Ends the session and its watch, without blocking the event loop meanwhile."""
        self._closed = True
        await asyncio.to_thread(self._client.close)

    def abort(self) -> None:
        """Gives the session up; its sockets close when the server answers, or in 3 s."""
        self._closed = True
        threading.Thread(target=self._client.close, daemon=True).start()


def allow(user: str) -> str:
    """The command that an administrator gives mongosh so that ``user`` may read our facts."""
    if not user:
        return ""
    name = msgspec.json.encode(user).decode()
    return f'db.getSiblingDB("admin").grantRolesToUser({name}, ["clusterMonitor"])'


def _tls_options(tls: Tls) -> dict[str, Any]:
    if tls.mode == "disable":
        return {"tls": False}
    check_files(tls)
    files = {"tlsCAFile": tls.ca_file, "tlsCertificateKeyFile": tls.cert_file}
    return {
        "tls": True,
        "tlsAllowInvalidCertificates": not tls.mode.startswith("verify"),
        "tlsAllowInvalidHostnames": tls.mode != "verify-full",
        **{key: path for key, path in files.items() if path},
    }


def _login_options(endpoint: Endpoint, options: dict[str, str]) -> dict[str, Any]:
    mechanism = {"authMechanism": options.get("authmechanism")}
    known = {key: value for key, value in mechanism.items() if value}
    if endpoint.user is None and not known:
        return {}
    source = options.get("authsource") or endpoint.database or "admin"
    if known.get("authMechanism") in (None, "SCRAM-SHA-1", "SCRAM-SHA-256"):
        known["authSource"] = source
    password = endpoint.password.reveal() if endpoint.password else None
    return {**known, "username": endpoint.user, "password": password}


def _client(
    member: Member, endpoint: Endpoint, options: dict[str, str], limit: float
) -> "AsyncIOMotorClient[dict[str, Any]]":
    """Not connected yet; one member, no pool, no second try of anything."""
    from motor.motor_asyncio import AsyncIOMotorClient

    host = f"[{member.host}]" if ":" in member.host else member.host
    milliseconds = int(limit * 1000)
    return AsyncIOMotorClient(
        host=member.socket or f"{host}:{member.port}",
        directConnection=True,
        appname=APPLICATION_NAME,
        maxPoolSize=1,
        serverMonitoringMode="poll",
        serverSelectionTimeoutMS=min(2000, milliseconds),
        connectTimeoutMS=min(1000, milliseconds),
        socketTimeoutMS=_SOCKET_MS,
        retryReads=False,
        retryWrites=False,
        **_tls_options(endpoint.tls),
        **_login_options(endpoint, options),
    )


def _document(answer: bytes) -> dict[str, Any]:
    from bson import decode
    from bson.errors import BSONError

    try:
        return dict(decode(answer))
    except BSONError as error:
        raise ForeignError from error


async def _first_member(
    seeds: Seeds, endpoint: Endpoint, limit: float
) -> tuple[Member, dict[str, Any], tuple[str, ...]]:
    """The first member that answers, its hello, and a note for each one passed over."""
    failed: list[tuple[str, Exception]] = []
    share = limit / 2 / len(seeds.hosts) if len(seeds.hosts) > 1 else None
    for host, port in seeds.hosts:
        member = Member(host, port, endpoint.socket, context_of(endpoint.tls))
        try:
            async with asyncio.timeout(share):
                answer = _document(await hello(member))
        except Exception as error:  # noqa: BLE001 - whatever it is, another member may do
            failed.append((f"{host}:{port}", error))
            continue
        return member, answer, tuple(f"{place} was passed over: {e}" for place, e in failed)
    raise failed[0][1]


def _check_set(answer: dict[str, Any], wanted: str) -> None:
    found = answer.get("setName", "")
    if wanted and wanted != found:
        says = f"is a member of the set {found}" if found else "is no member of a set"
        raise _SetNameError(f"replicaSet={wanted} is asked for, and the server {says}")


def _notes(answer: dict[str, Any]) -> tuple[str, ...]:
    if answer.get("setName") and not answer.get("isWritablePrimary"):
        role = "an arbiter" if answer.get("arbiterOnly") else "a secondary"
        if not (answer.get("secondary") or answer.get("arbiterOnly")):
            role = "neither primary nor secondary (starting, recovering or rolling back)"
        return (f"this member of {answer['setName']} is {role}",)
    return ()


async def _greet(connection: MongoConnection) -> str:
    """Logs in with the first command; the product and version."""
    version = (await connection.command("buildInfo")).get("version", "")
    if not connection.user:
        try:
            # who is not logged in is let through to hello, buildInfo and ping all the same
            await connection.command("listDatabases", nameOnly=True, filter={"name": "admin"})
        except Absent as absent:
            raise _NotOpenError from absent
    return f"MongoDB {version}".rstrip()


def _classify(error: BaseException) -> tuple[Problem, str, str] | None:
    if isinstance(error, SeedListError):
        return Problem.NAME_UNKNOWN, "", str(error)
    if isinstance(error, FullError):
        return Problem.FULL, "", str(error)
    if isinstance(error, ForeignError):
        return Problem.WRONG_PROTOCOL, "", str(error)
    if isinstance(error, TlsMismatchError | TlsFileError):
        return Problem.TLS, "", str(error)
    if isinstance(error, _SetNameError):
        return Problem.OTHER, "replicaSet", str(error)
    if isinstance(error, _NotOpenError):
        return Problem.LOGIN, str(_UNAUTHORIZED), str(error)
    if isinstance(error, asyncio.IncompleteReadError):
        return Problem.OTHER, "", "the server closed the connection in the middle of an answer"
    of_driver = type(error).__module__.partition(".")[0] == "pymongo"
    return _classify_driver(error) if of_driver else None


def _classify_driver(error: BaseException) -> tuple[Problem, str, str] | None:
    from pymongo.errors import NetworkTimeout, OperationFailure, ProtocolError

    if isinstance(error, OperationFailure):
        message = str((error.details or {}).get("errmsg") or error)
        problem = {
            _AUTHENTICATION_FAILED: Problem.LOGIN,
            _UNAUTHORIZED: Problem.RIGHTS,
            _OUT_OF_TIME: Problem.TIMED_OUT,
            **dict.fromkeys(_NOT_READY, Problem.STARTING),
        }.get(error.code or 0, Problem.OTHER)
        return problem, str(error.code or ""), message
    if isinstance(error, ProtocolError):
        return Problem.WRONG_PROTOCOL, "", "what came is no answer of MongoDB's protocol"
    # what follows are the driver's own settings and its view of the cluster
    message = str(error).partition(" (configured")[0].partition(", Timeout:")[0]
    if isinstance(error, NetworkTimeout) or "timed out" in message:
        return Problem.TIMED_OUT, "", message
    return (Problem.TLS if "SSL handshake" in message else Problem.OTHER), "", message


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, MongoConnection | None]:
    """A look at the bare socket, then one session with one login; see :func:`log_in`."""
    notes: list[str] = []

    async def opening() -> tuple[MongoConnection, str]:
        seeds = await seeds_of(endpoint, seconds=limit / 2)
        member, answer, said = await _first_member(seeds, endpoint, limit)
        _check_set(answer, seeds.options.get("replicaset", ""))
        notes.extend((*said, *_notes(answer)))

        from pymongo.errors import ConnectionFailure

        client = _client(member, endpoint, seeds.options, limit)
        connection = MongoConnection(client, endpoint.user or "")
        try:
            return connection, await _greet(connection)
        except ConnectionFailure as error:
            full = await hangs_up(member)
            connection.abort()
            if full:
                raise FullError from error
            raise
        except BaseException:
            connection.abort()
            raise

    login, connection = await log_in(
        opening, _classify, endpoint=endpoint, protocol="MongoDB", limit=limit
    )
    return msgspec.structs.replace(login, notes=tuple(notes) if login.ok else ()), connection
