"""One question to a member before the driver asks: to the driver, most failures look alike.

A full server, a dead host, a wrong port and wrong TLS all end in its time limit for choosing a
server; on the bare socket each is told within milliseconds.
"""

import asyncio
import contextlib
import ssl

import msgspec

from backend_doctor.backends.wire import MONGODB_HELLO, mongodb_answer, speaks_tls

_QUIET_SECONDS = 0.4
_TLS_SECONDS = 0.6


class FullError(Exception):
    """The server takes connections and closes them before a word was said."""

    def __str__(self) -> str:
        return (
            "it takes the connection and closes it at once, as mongod does when its limit of "
            "connections is reached"
        )


class ForeignError(Exception):
    """What came is no answer of MongoDB's protocol."""

    def __str__(self) -> str:
        return "what came is no answer of MongoDB's protocol"


class TlsMismatchError(Exception):
    """One side encrypts and the other does not; the message says which."""


class Member(msgspec.Struct, frozen=True):
    """Where one member is: a host and port, or a unix socket, with TLS or without."""

    host: str
    port: int
    socket: str | None = None
    tls: ssl.SSLContext | None = None

    async def connect(
        self, *, plain: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own. Raises OSError."""
        if self.socket:
            return await asyncio.open_unix_connection(self.socket)
        if plain or self.tls is None:
            return await asyncio.open_connection(self.host, self.port)
        return await asyncio.open_connection(
            self.host, self.port, ssl=self.tls, server_hostname=self.host
        )


async def _ask(member: Member, *, plain: bool = False) -> bytes:
    reader, writer = await member.connect(plain=plain)
    try:
        writer.write(MONGODB_HELLO)
        start = await reader.readexactly(16)
        length = mongodb_answer(start)
        if not length:
            raise ForeignError
        # 4 bytes of flags and the kind of section stand before the document
        return (await reader.readexactly(length - 16))[5:]
    finally:
        writer.transport.abort()


async def hangs_up(member: Member) -> bool:
    """Whether a connection is closed, in good order, before anything was said on it."""
    with contextlib.suppress(OSError):
        reader, writer = await member.connect(plain=True)
        try:
            async with asyncio.timeout(_QUIET_SECONDS):
                return await reader.read(1) == b""
        except TimeoutError:
            return False
        finally:
            writer.transport.abort()
    return False


async def _talks_plainly(member: Member) -> bool:
    with contextlib.suppress(OSError, EOFError, ForeignError):
        async with asyncio.timeout(_TLS_SECONDS):
            return bool(await _ask(member, plain=True))
    return False


async def _why_it_closed(member: Member) -> Exception | None:
    if await hangs_up(member):
        return FullError()
    if member.tls is not None and await _talks_plainly(member):
        return TlsMismatchError("TLS is asked for, and the server speaks without it")
    if member.tls is not None or member.socket:
        return None
    if await speaks_tls(member.host, member.port, seconds=_TLS_SECONDS):
        return TlsMismatchError("the server speaks TLS only, and none is asked for")
    return None


async def hello(member: Member) -> bytes:
    """The BSON document that answers ``hello``, which anybody may ask.

    Raises FullError, ForeignError, TlsMismatchError, ssl.SSLError, EOFError or OSError.
    """
    try:
        return await _ask(member)
    except (asyncio.IncompleteReadError, ConnectionResetError, ssl.SSLError) as error:
        cut_off = getattr(error, "partial", b"")
        refused = isinstance(error, ssl.SSLCertVerificationError)
        if not cut_off and not refused and (why := await _why_it_closed(member)):
            raise why from error
        raise
