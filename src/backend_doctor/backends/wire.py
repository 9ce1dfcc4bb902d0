"""What answers on a port that does not speak the protocol we expected.

Used only after a login has failed or stays unanswered, never beside a healthy one.
"""

import asyncio
import contextlib
import ssl
import struct
import time

_HTTP_HEAD = b"HEAD / HTTP/1.0\r\n\r\n"
_POSTGRES_TLS_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_MONGODB_REQUEST = int.from_bytes(b"bdoc", "little")
_OP_MSG = 2013
_BANNERS = (
    (b"SSH-", "SSH"),
    (b"HTTP/", "HTTP"),
    (b"AMQP", "AMQP"),
    (b"-ERR", "Redis"),
    (b"-NOAUTH", "Redis"),
    (b"-NOPERM", "Redis"),
    (b"-DENIED", "Redis"),
    (b"-LOADING", "Redis"),
    (b"+OK", "POP3"),
    (b"* OK", "IMAP"),
    (b"220", "SMTP or FTP"),
    (b"\x15\x03", "TLS"),
    (b"\x16\x03", "TLS"),
)


def _mongodb_hello() -> bytes:
    """One OP_MSG with the document {hello: 1, $db: "admin"}, which no right is needed for."""
    fields = b"\x10hello\x00\x01\x00\x00\x00" + b"\x02$db\x00\x06\x00\x00\x00admin\x00"
    document = struct.pack("<i", len(fields) + 5) + fields + b"\x00"
    body = struct.pack("<IB", 0, 0) + document
    return struct.pack("<iiii", 16 + len(body), _MONGODB_REQUEST, 0, _OP_MSG) + body


MONGODB_HELLO = _mongodb_hello()
"""The first thing to say to a server that may be MongoDB."""


def mongodb_answer(start: bytes) -> int:
    """Bytes of the whole answer to :data:`MONGODB_HELLO` that starts so; 0 if it is none."""
    if len(start) < 16:
        return 0
    length, _, answers, operation = struct.unpack("<iiii", start[:16])
    fits = answers == _MONGODB_REQUEST and operation == _OP_MSG
    return int(length) if fits and 21 < length < 1 << 20 else 0


def _tls_client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    said = ssl.MemoryBIO()
    talk = context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        talk.do_handshake()
    return said.read()


def _name(answer: bytes) -> str:
    for start, protocol in _BANNERS:
        if answer.startswith(start):
            return protocol
    if mongodb_answer(answer):
        return "MongoDB"
    # a greeting with sequence number 0 and version 10, or an error before it
    if answer[3:5] in (b"\x00\x0a", b"\x00\xff"):
        return "MySQL"
    if b"mysql" in answer.lower() or b"mariadb" in answer.lower():
        return "MySQL"
    return ""


async def _ask(host: str, port: int, question: bytes, seconds: float) -> bytes:
    """The first bytes that come back, or b"" when nothing does; at most 256 are read."""
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            if question:
                writer.write(question)
            return await reader.read(256)
    except (OSError, TimeoutError, UnicodeError):
        return b""
    finally:
        if writer is not None:
            writer.transport.abort()


async def identify(host: str, port: int, *, seconds: float = 1.5) -> str:
    """The protocol that answers at ``host:port``, or "" when it keeps silent.

    "Something unknown" when what comes fits no protocol that we know.

    Asks in turn: nothing (servers that greet first), an HTTP HEAD, MongoDB's hello, PostgreSQL's
    TLS request, a TLS greeting; each on a connection of its own, all within ``seconds``. What
    one question leaves of its share of the time goes to those after it.
    """
    unknown = ""
    deadline = time.monotonic() + seconds
    questions = (b"", _HTTP_HEAD, MONGODB_HELLO, _POSTGRES_TLS_REQUEST, _tls_client_hello())
    for number, question in enumerate(questions):
        share = (deadline - time.monotonic()) / (len(questions) - number)
        answer = await _ask(host, port, question, max(share, 0.0))
        if question is _POSTGRES_TLS_REQUEST and answer in (b"S", b"N"):
            return "PostgreSQL"
        if protocol := _name(answer):
            return protocol
        # less may be the beginning of anything
        if len(answer) >= 4:
            unknown = "Something unknown"
    return unknown


async def speaks_tls(host: str, port: int, *, seconds: float) -> bool:
    """Whether a TLS greeting is answered with one."""
    return _name(await _ask(host, port, _tls_client_hello(), seconds)) == "TLS"


async def identify_in_time(host: str, port: int, *, seconds: float) -> str:
    """:func:`identify`, bounded from outside too: name resolution knows no deadline."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(seconds):
            return await identify(host, port, seconds=seconds)
    return ""
