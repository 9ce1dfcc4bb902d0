"""The one place that speaks to Redis and Valkey: one connection, reads only, through redis-py."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from backend_doctor.backends.login import log_in
from backend_doctor.backends.redis.rights import allow, name_of
from backend_doctor.endpoint import Endpoint, Tls
from backend_doctor.facts import AbsenceKind, Absent, Login, Problem

if TYPE_CHECKING:
    from redis.asyncio import Connection as Driver
    from redis.asyncio import UnixDomainSocketConnection as SocketDriver

CLIENT_NAME = "backend-doctor"
_CODES = {
    "WRONGPASS": Problem.LOGIN,
    "NOAUTH": Problem.LOGIN,
    "DENIED": Problem.LOGIN,
    "NOPERM": Problem.RIGHTS,
    "LOADING": Problem.STARTING,
}


class _StartingError(Exception):
    """The server answers, but still reads its data set."""


class _DroppedError(Exception):
    """The connection ended before TLS began."""

    def __str__(self) -> str:
        return (
            "the server dropped the connection before TLS began; it does so without a word when "
            "maxclients is reached"
        )


class _TlsFileError(Exception):
    """A file that TLS was configured with cannot be read."""


def parse_info(text: str) -> dict[str, str]:
    """The fields of an INFO reply; section titles and what is no field are left out."""
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {key: value for key, colon, value in lines if colon}


class RedisConnection:
    """One logged-in connection. ``statements`` counts the commands sent, AUTH left out."""

    def __init__(self, driver: "Driver | SocketDriver", user: str) -> None:
        self._driver = driver
        self._transport = _transport(driver)
        self.user = user
        self.statements = 0

    async def command(self, *parts: str) -> Any:
        """The reply to one of the commands that we send; see :meth:`commands`."""
        (reply,) = await self.commands((parts,))
        return reply

    async def commands(self, sent: Sequence[tuple[str, ...]]) -> list[Any]:
        """The replies to several commands, sent at once; text that is no UTF-8 keeps its bytes
        as surrogates.

        Raises Absent, with the ACL that helps, for a command that this user may not run.
        """
        from redis.exceptions import NoPermissionError, ResponseError

        names = [name_of(parts) for parts in sent]
        if not self._driver.is_connected:
            # the driver would silently log in a second time
            raise ConnectionResetError("the connection was closed")
        self.statements += len(sent)
        for parts in sent:
            await self._driver.send_command(*parts)
        replies, refusals = [], []
        for name in names:
            try:
                replies.append(await self._driver.read_response())
            except ResponseError as error:
                # what else was sent is answered too, and must not be taken for a later reply
                refusals.append((name, error))
        for name, refusal in refusals:
            if not isinstance(refusal, NoPermissionError):
                raise refusal
            raise Absent(
                f"user {self.user} may not run {name}",
                remedy=allow(self.user),
                kind=AbsenceKind.BLIND,
            ) from refusal
        return replies

    async def info(self) -> dict[str, str]:
        """INFO's default sections."""
        return parse_info(str(await self.command("INFO")))

    async def client_list(self) -> str:
        """CLIENT LIST: one line a client."""
        return str(await self.command("CLIENT", "LIST"))

    async def name(self) -> None:
        """Gives the connection our name, where the user may do that."""
        from redis.exceptions import ResponseError

        try:
            await self.command("CLIENT", "SETNAME", CLIENT_NAME)
        except Absent:
            return
        except ResponseError as error:
            # a proxy that does not know the command is no reason to fail
            if not str(error).lower().startswith("unknown"):
                raise

    def duplicate(self) -> socket.socket:
        """A second handle of the same socket, for the caller to close."""
        own: socket.socket = self._transport.get_extra_info("socket").dup()
        return own

    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return not self._driver.is_connected

    async def close(self) -> None:
        """Ends the connection."""
        await self._driver.disconnect()

    def abort(self) -> None:
        """Closes the socket at once, without a TLS farewell."""
        self._transport.abort()
        self._driver._close()  # type: ignore[no-untyped-call]


def _transport(driver: "Driver | SocketDriver") -> asyncio.WriteTransport:
    # redis-py's own disconnect() waits for TLS to say goodbye and offers no way to drop it
    writer = driver._writer
    if writer is None:
        raise ConnectionResetError("the connection was closed")
    return writer.transport


def _tls_options(tls: Tls) -> dict[str, Any]:
    for path in (tls.ca_file, tls.cert_file, tls.key_file):
        if path and not os.access(path, os.R_OK):
            raise _TlsFileError(f"the certificate or key file {path} cannot be read")
    # libpq: `require` with a CA file verifies, for compatibility
    verified = tls.mode.startswith("verify") or bool(tls.ca_file)
    return {
        "ssl_cert_reqs": "required" if verified else "none",
        "ssl_check_hostname": tls.mode == "verify-full",
        "ssl_ca_certs": tls.ca_file,
        "ssl_certfile": tls.cert_file,
        "ssl_keyfile": tls.key_file,
    }


def _driver(endpoint: Endpoint) -> "Driver | SocketDriver":
    """Not connected yet; without retries, time limits and greetings of the driver's own."""
    from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
    }
    if endpoint.socket:
        return UnixDomainSocketConnection(path=endpoint.socket, **options)
    options |= {"host": endpoint.host, "port": endpoint.port}
    if endpoint.tls.mode == "disable":
        return Connection(**options)
    return SSLConnection(**options, **_tls_options(endpoint.tls))


async def _open(driver: "Driver | SocketDriver", endpoint: Endpoint) -> None:
    try:
        await driver.connect()  # type: ignore[no-untyped-call]
    except Exception as error:
        dropped = isinstance(error.__context__, ConnectionResetError | ssl.SSLEOFError)
        if endpoint.tls.mode != "disable" and dropped:
            raise _DroppedError from error
        raise


@contextlib.asynccontextmanager
async def _last_words(connection: RedisConnection) -> AsyncIterator[None]:
    """Raises what the server said before it hung up, in place of the broken pipe.

    A full server speaks and closes before it is asked; a stream that then fails to write
    throws away what it has not read yet.
    """
    from redis.exceptions import ConnectionError as Lost
    from redis.exceptions import ResponseError

    spare = connection.duplicate()
    try:
        yield
    except Lost as error:
        with contextlib.suppress(OSError):
            said = spare.recv(512).decode("ascii", "replace").strip()
            if said.startswith("-"):
                word, _, message = said[1:].partition(" ")
                raise ResponseError(message, status_code=word) from error
        raise
    finally:
        spare.close()


async def _authenticate(driver: "Driver | SocketDriver", endpoint: Endpoint) -> None:
    if endpoint.user is None and endpoint.password is None:
        return
    password = endpoint.password.reveal() if endpoint.password else ""
    user = (endpoint.user,) if endpoint.user is not None else ()
    await driver.send_command("AUTH", *user, password)
    await driver.read_response()


async def _greet(connection: RedisConnection) -> tuple[str, tuple[str, ...]]:
    """Product and version, and notes. Raises _StartingError while the data set is read."""
    await connection.name()
    try:
        info = await connection.info()
    except Absent as absent:
        return "Redis", (f"{absent}, so the server's version is not known",)
    if info.get("loading") == "1":
        share = info.get("loading_loaded_perc", "?")
        raise _StartingError(f"the data set is being read, {share} % so far")
    if version := info.get("valkey_version"):
        return f"Valkey {version}", ()
    return f"Redis {info.get('redis_version', '')}".rstrip(), ()


def _classify(error: BaseException) -> tuple[Problem, str, str] | None:
    from redis.exceptions import AuthenticationError, InvalidResponse, RedisError

    if isinstance(error, InvalidResponse):
        return Problem.WRONG_PROTOCOL, "", "what came is no reply of Redis's protocol"
    if isinstance(error, _StartingError):
        return Problem.STARTING, "LOADING", str(error)
    if isinstance(error, _TlsFileError):
        return Problem.TLS, "", str(error)
    if isinstance(error, _DroppedError):
        return Problem.OTHER, "", str(error)
    if not isinstance(error, RedisError):
        return None
    message = str(error)
    word = error.status_code or message.partition(" ")[0]
    if "max number of clients" in message:
        return Problem.FULL, word, message
    if word in _CODES:
        return _CODES[word], word, message
    if isinstance(error, AuthenticationError):
        return Problem.LOGIN, word, message
    return None


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, RedisConnection | None]:
    """One connection, one AUTH, our name, one INFO; see :func:`log_in` for failures.

    The database is not selected: but for session keys, nothing that we read belongs to one.
    """
    notes: list[str] = []

    async def opening() -> tuple[RedisConnection, str]:
        driver = _driver(endpoint)
        await _open(driver, endpoint)
        connection = RedisConnection(driver, endpoint.user or "default")
        try:
            async with _last_words(connection):
                await _authenticate(driver, endpoint)
                server, said = await _greet(connection)
        except BaseException:
            connection.abort()
            raise
        notes.extend(said)
        return connection, server

    login, connection = await log_in(
        opening, _classify, endpoint=endpoint, protocol="Redis", limit=limit
    )
    return msgspec.structs.replace(login, notes=tuple(notes)), connection
