"""The one place that speaks to RabbitMQ: an AMQP login through aio-pika, and reads of its
management API through httpx. Nothing is published, and nothing declared."""

import asyncio
import logging
from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec

from backend_doctor.backends.login import log_in
from backend_doctor.backends.rabbitmq.transport import Line
from backend_doctor.backends.tls import TlsFileError, context_of
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import AbsenceKind, Absent, Login, Problem

if TYPE_CHECKING:
    import aio_pika

CONNECTION_NAME = "backend-doctor"
PATHS = frozenset({"/api/overview", "/api/health/checks/alarms"})
"""What we ever GET of the management API."""
_HEARTBEAT_SECONDS = 5
_GUEST = "guest"
_CONNECTION_CLOSE = "Connection.Close"
# what these write of a failed login says less than the report, and later
for _name in ("aio_pika", "aiormq"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class _ClosedError(Exception):
    """The broker closed the connection with a code and a text of its own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _CutOffError(Exception):
    """The connection ended without a word."""

    def __str__(self) -> str:
        return "the broker closed the connection without a word"


class RabbitConnection:
    """One AMQP connection without a channel. ``statements`` counts our management requests."""

    def __init__(
        self, driver: "aio_pika.abc.AbstractConnection", line: Line, endpoint: Endpoint
    ) -> None:
        self._driver = driver
        self._line = line
        self._endpoint = endpoint
        self.statements = 0

    async def management(self, url: str, path: str) -> tuple[int, Any]:
        """(HTTP status, JSON document) of one of :data:`PATHS`, with the AMQP URL's user.

        Raises Absent where the API cannot be read, with the tag that helps where one would.
        """
        import httpx

        if path not in PATHS:
            raise ValueError(f"{path} is not among what we read")
        self.statements += 1
        user, password = _credentials(self._endpoint)
        verify = context_of(self._endpoint.tls) or True
        try:
            async with httpx.AsyncClient(verify=verify, timeout=2.5, trust_env=False) as client:
                answer = await client.get(url.rstrip("/") + path, auth=(user, password))
            document = answer.json() if answer.status_code in (200, 503) else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            why = str(error) or type(error).__name__
            raise Absent(
                f"the management API at {url} cannot be read: {why}", kind=AbsenceKind.FAILED
            ) from error
        if answer.status_code in (401, 403):
            raise Absent(f"user {user} may not read the management API", remedy=allow(user))
        if document is None:
            raise Absent(
                f"the management API at {url} answers {path} with HTTP {answer.status_code}",
                kind=AbsenceKind.FAILED,
            )
        return answer.status_code, document

    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._driver.is_closed or self._line.closed

    async def close(self) -> None:
        """Says goodbye to the broker."""
        await self._driver.close()

    def abort(self) -> None:
        """Closes the socket at once."""
        self._line.drop()


def allow(user: str) -> str:
    """The command with which an administrator lets ``user`` read the management API."""
    return f"rabbitmqctl set_user_tags {quote(user)} monitoring"


def _credentials(endpoint: Endpoint) -> tuple[str, str]:
    if endpoint.user is None and endpoint.password is None:
        return _GUEST, _GUEST
    return endpoint.user or _GUEST, endpoint.password.reveal() if endpoint.password else ""


def _driver(endpoint: Endpoint, line: Line) -> "aio_pika.Connection":
    """Not connected yet; of the kind that never connects again by itself."""
    import aio_pika
    from aio_pika.connection import make_url
    from aiormq.connection import TransportFactory

    class OurLine(TransportFactory):
        async def create(
            self, url: object, **_: Any
        ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await line.open()

    user, password = _credentials(endpoint)
    url = make_url(
        host=line.host,
        port=line.port,
        login=user,
        password=password,
        virtualhost=endpoint.database or "/",
        heartbeat=_HEARTBEAT_SECONDS,
    )
    driver = aio_pika.Connection(url, client_properties={"connection_name": CONNECTION_NAME})
    driver.kwargs["transport_factory"] = OurLine()
    return driver


def _last_words(line: Line) -> _ClosedError | None:
    """How the broker closed the connection, if it said so before the driver listened."""
    from pamqp import commands, exceptions, frame

    left = line.heard.kept if line.heard else b""
    try:
        while left:
            size, _, found = frame.unmarshal(left)
            if isinstance(found, commands.Connection.Close):
                return _ClosedError(int(found.reply_code or 0), str(found.reply_text or ""))
            left = left[size:]
    except exceptions.PAMQPException:
        return None
    return None


async def _open(driver: "aio_pika.Connection", line: Line) -> None:
    from aiormq.exceptions import AMQPError

    try:
        await driver.connect()
    except AMQPError as error:
        line.drop()
        if words := _last_words(line):
            raise words from error
        if not (line.heard and line.heard.kept):
            raise _CutOffError from error
        raise
    except BaseException:
        line.drop()
        raise


def _server(driver: "aio_pika.Connection") -> str:
    transport = driver.transport
    said: Any = transport.connection.server_properties if transport else {}

    def text(key: str) -> str:
        value = said.get(key, "")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    return f"{text('product') or 'AMQP 0-9-1'} {text('version')}".rstrip()


def _problem_of(closed: _ClosedError) -> Problem:
    said = str(closed)
    if closed.code == 403:
        return Problem.LOGIN
    if "limit" in said and "is reached" in said:
        return Problem.FULL
    if "not found" in said:
        return Problem.LOGIN
    if "refused for user" in said or "access to vhost" in said:
        return Problem.RIGHTS
    # CONNECTION_FORCED: the node is going down, or its virtual host is
    return Problem.STARTING if closed.code == 320 or "is down" in said else Problem.OTHER


def _classify(error: BaseException) -> tuple[Problem, str, str] | None:
    from aiormq.exceptions import AMQPError, AuthenticationError, ProtocolSyntaxError
    from pamqp.exceptions import PAMQPException

    if isinstance(error, _ClosedError):
        # "ACCESS_REFUSED - Login was refused ...": what comes first is the code's own name
        return _problem_of(error), str(error.code), str(error)
    if isinstance(error, TlsFileError):
        return Problem.TLS, "", str(error)
    if isinstance(error, _CutOffError):
        return Problem.OTHER, "", str(error)
    if isinstance(error, AuthenticationError):
        return Problem.LOGIN, "", "the broker does not take a password (PLAIN)"
    if isinstance(error, ProtocolSyntaxError | PAMQPException):
        return Problem.WRONG_PROTOCOL, "", "what came is no frame of AMQP 0-9-1"
    if isinstance(error, AMQPError):
        return Problem.OTHER, "", f"{type(error).__name__}: {error}"
    return None


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, RabbitConnection | None]:
    """One connection with one login and no channel; see :func:`log_in` for failures."""
    notes: list[str] = []

    async def opening() -> tuple[RabbitConnection, str]:
        tls, failed = context_of(endpoint.tls), None
        for number, (host, port) in enumerate(endpoint.hosts):
            line = Line(host, port, tls)
            driver = _driver(endpoint, line)
            more = number + 1 < len(endpoint.hosts)
            try:
                async with asyncio.timeout(limit / 2 / len(endpoint.hosts) if more else None):
                    await _open(driver, line)
            except OSError as error:
                failed = failed or error
                notes.append(f"{host}:{port} was passed over: {error}")
                continue
            return RabbitConnection(driver, line, endpoint), _server(driver)
        raise failed or OSError("no host is named")

    login, connection = await log_in(
        opening, _classify, endpoint=endpoint, protocol="AMQP", limit=limit
    )
    return msgspec.structs.replace(login, notes=tuple(notes) if login.ok else ()), connection
