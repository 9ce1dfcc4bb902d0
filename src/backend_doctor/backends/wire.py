"""What answers on a port that does not speak the protocol we expected.

Used only after a login has failed or stays unanswered, never beside a healthy one.
"""

import asyncio
import contextlib

_HTTP_HEAD = b"HEAD / HTTP/1.0\r\n\r\n"
_POSTGRES_TLS_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
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
)


def _name(answer: bytes) -> str:
    for start, protocol in _BANNERS:
        if answer.startswith(start):
            return protocol
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

    Asks in turn: nothing (servers that greet first), an HTTP HEAD, PostgreSQL's TLS request;
    each on a connection of its own, all within ``seconds``.
    """
    unknown = ""
    for question, share in ((b"", 0.2), (_HTTP_HEAD, 0.4), (_POSTGRES_TLS_REQUEST, 0.4)):
        answer = await _ask(host, port, question, seconds * share)
        if question is _POSTGRES_TLS_REQUEST and answer in (b"S", b"N"):
            return "PostgreSQL"
        if protocol := _name(answer):
            return protocol
        # less may be the beginning of anything
        if len(answer) >= 4:
            unknown = "Something unknown"
    return unknown


async def identify_in_time(host: str, port: int, *, seconds: float) -> str:
    """:func:`identify`, bounded from outside too: name resolution knows no deadline."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(seconds):
            return await identify(host, port, seconds=seconds)
    return ""
