"""The one place that speaks HTTP: GET, HEAD and OPTIONS only, through httpx, nothing followed."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from backend_doctor.backends.http.secured import Secured, secured_by
from backend_doctor.backends.login import log_in
from backend_doctor.endpoint import Endpoint, Tls, public_url
from backend_doctor.facts import Login, Problem

if TYPE_CHECKING:
    import httpx

USER_AGENT = "backend-doctor"
METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_CAP = 64 * 1024
REQUEST_SECONDS = 4.0
_ASIDE = "backend_doctor_headers"


class _TlsFileError(Exception):
    """A file that TLS was configured with cannot be read."""


class Reply(msgspec.Struct, frozen=True):
    """One answer. ``status`` 0 when none came; ``problem`` then says why.

    ``headers`` are (lower-case name, value), repeated ones joined by ", " as a browser does;
    ``body`` holds the first 64 KiB.
    """

    status: int
    seconds: float
    headers: Mapping[str, str]
    body: str = ""
    problem: str = ""


class HttpConnection:
    """One kept-alive connection to one origin. ``statements`` counts the requests sent.

    ``url`` is the configured one without query and slash at its end; paths stand beneath it.
    """

    def __init__(self, client: "httpx.AsyncClient", url: str) -> None:
        self._client = client
        self.url = public_url(url).rstrip("/")
        self._sockets: list[socket.socket] = []
        self.statements = 0
        self.secured: Secured | None = None

    def url_of(self, target: str) -> str:
        """A path beneath the configured URL, or an absolute URL as it is."""
        if target.startswith(("http://", "https://")):
            return target
        return f"{self.url}/{target.lstrip('/')}"

    def is_near(self, url: str) -> bool:
        """Whether a URL has the configured host, by whatever scheme and port."""
        return urlsplit(url).hostname == urlsplit(self.url).hostname

    @property
    def peer(self) -> str:
        """The address that answers, or "" where it is not known."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                return str(one.getpeername()[0])
        return ""

    async def ask(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        limit: float = REQUEST_SECONDS,
    ) -> Reply:
        """One request and the answer to it, or why none came within ``limit`` seconds."""
        began = time.monotonic()

        def without(problem: str) -> Reply:
            return Reply(0, round(time.monotonic() - began, 4), {}, problem=problem)

        try:
            async with asyncio.timeout(limit):
                return await self._resent(method, target, headers)
        except TimeoutError:
            return without(f"no answer within {limit:g} s")
        except Exception as error:
            if not _is_transport_error(error):
                raise
            return without(_words(error))

    async def _resent(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> Reply:
        kept = self.statements > 0
        try:
            return await self.send(method, target, headers)
        except Exception as error:
            # a kept-alive connection may be closed under a request that never arrived (RFC 9112)
            if not (kept and _is_closed_meanwhile(error)):
                raise
            return await self.send(method, target, headers)

    async def send(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()
    ) -> Reply:
        """One request without a limit. Raises what httpx raises."""
        if method not in METHODS:
            raise ValueError(f"{method} is not among the methods that we send")
        self.statements += 1
        began = time.monotonic()
        extensions = {"trace": self._trace}
        async with self._client.stream(
            method, self.url_of(target), headers=list(headers), extensions=extensions
        ) as response:
            self._note_channel(response)
            body = await _start(response)
            return Reply(
                status=response.status_code,
                seconds=round(time.monotonic() - began, 4),
                headers=joined(response) | response.extensions.get(_ASIDE, {}),
                body=body.decode("utf-8", "replace"),
            )

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._sockets = [info["return_value"].get_extra_info("socket")]

    def _note_channel(self, response: "httpx.Response") -> None:
        stream = response.extensions.get("network_stream")
        channel = stream.get_extra_info("ssl_object") if stream is not None else None
        # a redirect from http leads to a channel that is not verified
        if channel is not None and self.secured is None and self.url.startswith("https://"):
            self.secured = secured_by(channel)

    def is_closed(self) -> bool:
        """Whether we have ended it; a server may close between requests at will."""
        return self._client.is_closed

    async def close(self) -> None:
        """Ends the connection."""
        await self._client.aclose()

    def abort(self) -> None:
        """Cuts the connection off at once."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def joined(response: "httpx.Response") -> dict[str, str]:
    """An answer's headers as in :class:`Reply`, in one pass: a hostile server sends thousands."""
    found: dict[str, list[str]] = {}
    for name, value in response.headers.multi_items():
        found.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(values) for name, values in found.items()}


async def _start(response: "httpx.Response") -> bytes:
    found = b""
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) >= BODY_CAP:
            break
    return found[:BODY_CAP]


async def _set_aside(response: "httpx.Response") -> None:
    """httpx reads Location although it follows nothing, and raises for what is no URL."""
    if "location" in response.headers:
        response.extensions[_ASIDE] = {"location": response.headers.pop("location")}


def _is_transport_error(error: Exception) -> bool:
    import httpx

    return isinstance(error, httpx.TransportError)


def _is_closed_meanwhile(error: Exception) -> bool:
    import httpx

    return isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)


def _words(error: Exception) -> str:
    return f"the connection failed: {str(error) or type(error).__name__}"


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Always verifying; a CA file of the configuration stands in for the system's.

    Raises _TlsFileError for a file that cannot be read.
    """
    for path in (tls.ca_file, tls.cert_file, tls.key_file):
        if path and not os.access(path, os.R_OK):
            raise _TlsFileError(f"the certificate or key file {path} cannot be read")
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _client(endpoint: Endpoint) -> "httpx.AsyncClient":
    import httpx

    # reading the system's certificates takes longer than a plain request; what a redirect leads
    # to is the same host, and nothing private is sent
    secure = endpoint.url.startswith("https://")
    return httpx.AsyncClient(
        headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        verify=tls_context(endpoint.tls) if secure else False,
        timeout=None,  # noqa: S113 - every request stands under a limit of ours
        follow_redirects=False,
        event_hooks={"response": [_set_aside]},
        trust_env=False,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
    )


def unopened(url: str) -> HttpConnection:
    """A connection that is opened by its first request; for other kinds that ask over HTTP."""
    return HttpConnection(_client(Endpoint(kind="http", hosts=(), url=url)), url)


def _innermost(error: BaseException) -> BaseException:
    """What the network said, beneath the wrappings of httpx, httpcore and anyio."""
    step = error
    while (deeper := step.__cause__ or step.__context__) is not None:
        step = deeper.exceptions[0] if isinstance(deeper, BaseExceptionGroup) else deeper
    return step


def _classify(error: BaseException) -> tuple[Problem, str, str] | None:
    if isinstance(error, _TlsFileError):
        return Problem.TLS, "", str(error)
    return None


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, HttpConnection | None]:
    """Name, network and TLS, then one OPTIONS, whose answer's status does not matter.

    See :func:`log_in` for failures.
    """
    import httpx

    secure = endpoint.url.startswith("https://")

    async def opening() -> tuple[HttpConnection, str]:
        client = _client(endpoint)
        connection = HttpConnection(client, endpoint.url)
        try:
            reply = await connection.send("OPTIONS", "/")
        except httpx.TransportError as error:
            await client.aclose()
            raise _innermost(error) from error
        except BaseException:
            connection.abort()
            raise
        return connection, reply.headers.get("server") or "an HTTP server"

    login, connection = await log_in(
        opening, _classify, endpoint=endpoint, protocol="TLS" if secure else "HTTP", limit=limit
    )
    if secure and login.problem is Problem.WRONG_PROTOCOL and login.answered_by == "HTTP":
        login = msgspec.structs.replace(login, answered_by="plain HTTP")
    return login, connection
