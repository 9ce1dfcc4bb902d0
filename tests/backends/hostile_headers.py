"""What an API may answer that means no good to whoever judges its headers: raw answers."""

from collections.abc import Iterator

import msgspec

PAGE = "https://shop.example"
CANARY = "c4n4ry"
_PAGE = PAGE.encode()
_ALLOW = b"Access-Control-Allow-Origin"
_NAMES = (
    *(b"Access-Control-Allow-Credentials", b"Access-Control-Allow-Methods"),
    *(b"Access-Control-Allow-Headers", b"Access-Control-Expose-Headers"),
    *(b"Access-Control-Max-Age", b"Vary", b"Server", b"Location", b"Date", b"Cache-Control"),
    *(b"Content-Type", b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Age"),
)
_VALUES = (
    b"",
    b"\x1b[2J\x1b]8;;http://evil.example\x07click\x1b]8;;\x07\x9b31m",
    b"[bold red]x[/y] <script>alert(1)</script> |'\"`$(id)`%s{0}\\",
    b'"' * 60 + b"'" * 60 + b"(" * 60,
    "\u202egnp.exe\u2028\u200b\ufeff".encode() + b"\xed\xa0\x80\xff\xfe",
    b"9" * 6_000,
    b"-1e999, NaN, 0x10",
    b", ;," * 500,
    b"*, null, \xc2\xa4, //[::1, javascript:alert(1)",
)
_BODY = b'{"detail":"\x1b[31m[bold]"}'


class Hostile(msgspec.Struct, frozen=True):
    """One answer, byte for byte. ``passes`` when a browser would let the page read it."""

    answer: bytes
    passes: bool = False


def _said(*headers: bytes, status: bytes = b"200 OK", own: bytes = b"") -> bytes:
    """An answer with these headers; ``own`` stands in the place of the right ACAO."""
    allow = own or _ALLOW + b": " + _PAGE
    first = (b"HTTP/1.1 " + status, allow, b"Access-Control-Allow-Headers: authorization")
    return b"\r\n".join((*first, b"Connection: close", *headers, b"", _BODY))


def _origins() -> Iterator[bytes]:
    """Values of Access-Control-Allow-Origin that are not the page's."""
    for number in (*range(0x20), 0x7F, 0x80, 0x9B, 0xFF):
        byte = bytes([number])
        yield _PAGE + byte + b"x"
    yield from _VALUES
    yield from (_PAGE * 500, _PAGE + b"/", _PAGE.upper(), b"null", b"\xe2\x80\x8b" + _PAGE)
    yield from (b'"' + _PAGE + b'"', _PAGE + b"," + _PAGE, b"{" + _PAGE + b"}", b"https://" * 500)


def _broken() -> Iterator[bytes]:
    """Answers that are not HTTP, or hardly."""
    twice = _ALLOW + b": " + _PAGE
    yield _said(own=twice + b"\r\n" + twice)
    yield _said(own=b"\r\n".join([twice] * 1_000))
    yield _said(own=b"X-Nothing: here")
    yield _said(*(b"X-%d: y" % number for number in range(2_000)), own=_ALLOW + b": null")
    yield _said(own=_ALLOW + b" : " + _PAGE)
    yield _said(own=b": " + _PAGE)
    yield _said(own=_ALLOW)
    yield _said(own=_ALLOW + b":\r\n " + b"folded\r\n\t" * 50)
    yield _said(own=b"A" * 50_000 + b": x")
    yield _said(own=_ALLOW + b": x" * 9_000)
    yield _said(status=b"999 \x1b[31m[bold]", own=_ALLOW + b": *\x00")
    yield _said(status=b"-1 x")
    yield _said(status=b"200 " + b"y" * 40_000, own=_ALLOW + b": null")
    yield _said(status=b"307 Moved", own=b"Location: http://u:" + CANARY.encode() + b"@[::1")
    yield _said(status=b"101 Switching Protocols")
    yield b"HTTP/1.1 100 Continue\r\n\r\n" * 500
    yield b"HTTP/9.9 200 OK\r\n\r\n"
    yield b"\x00" * 5_000
    yield b""
    yield b"\r\n\r\n\r\n"
    yield b"<html>\x1b[2J</html>\r\n\r\n"


def hostile_headers() -> list[Hostile]:
    """All of them; the first is healthy."""
    found = [Hostile(_said(), passes=True)]
    found += [Hostile(_said(own=_ALLOW + b": " + value)) for value in _origins()]
    found += [Hostile(answer) for answer in _broken()]
    beside = [
        name + b": " + value for at, name in enumerate(_NAMES) for value in _VALUES[at % 3 :: 3]
    ]
    # beside a right origin these may pass or not: what counts is that they are judged at all
    found += [Hostile(_said(header), passes=True) for header in beside]
    return found
