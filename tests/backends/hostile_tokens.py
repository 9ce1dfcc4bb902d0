"""Tokens as an enemy or a broken program makes them; each holds the canary where it can."""

import base64
from collections.abc import Iterator
from itertools import product

CANARY = "canary7Zk2mXv9TfLr4"
HEADER = '{"alg":"HS256","typ":"JWT"}'
PAYLOAD = f'{{"sub":"{CANARY}","exp":4000000000}}'


def b64(data: bytes | str) -> str:
    """base64url without padding."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(payload: bytes | str, header: bytes | str = HEADER, signature: str = "c2ln") -> str:
    """A token of these parts, whatever they are."""
    return f"{b64(header)}.{b64(payload)}.{signature}"


_VALUES = (
    *("null", "true", "false", "0", "-1", "1.5", "1e18", "1e400", "-1e400", "NaN", "Infinity"),
    *("9" * 400, "9" * 5000, '""', f'"{CANARY}"', '"1790000000"', '"2026-01-01T00:00:00Z"'),
    *("[]", "{}", f'["{CANARY}"]', f'{{"{CANARY}":1}}', "[[[[1]]]]", '"\\ud800"', '"\\u0000"'),
)
_JSON = (
    *("", " ", "null", "true", "1", "NaN", '"text"', "[]", "[1,2]", "{", "}", "{]", "{'a':1}"),
    *('{"a":1,}', '{"a":1}x', '{"a":1}{"b":2}', '{"a" 1}', "[" * 9000, '{"a":' * 2000, "{}\x00"),
    *('"\\"\\"' * 500, '{"a":"' + "\\" * 501 + '"}', f'{{"{CANARY}":1,"{CANARY}":2}}'),
    *("\N{BYTE ORDER MARK}{}", "\ud800", '{"\ud800":1}', "{\n}", raw(PAYLOAD), "<html>", "a=1"),
)
_BYTES = (
    b"\xff\xfe{}",
    b"\x00",
    b"\x80" * 50,
    bytes(range(256)),
    b"\xef\xbb\xbf{}",
    b"\x1f\x8b\x08",
)
_HEADERS = ("alg", "typ", "kid", "cty", "crit", "jku", "jwk", "x5u", "b64", "enc", "zip")
_CLAIMS = ("exp", "iat", "nbf", "aud", "iss", "sub", "jti", "password")
_KIDS = (
    "../../dev/null",
    "' OR 1=1 --",
    "a|id",
    "$(id)",
    "`id`",
    "\x00",
    "x" * 5000,
    "/etc/passwd",
)


def _whole() -> Iterator[str]:
    good = raw(PAYLOAD)
    yield from (
        "",
        " ",
        "\n",
        ".",
        "..",
        "...",
        "....",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "a.b.c.d.e",
    )
    yield from (CANARY, f"{CANARY}.{CANARY}", "=.=.=", "%%%.%%%.%%%", "\x00.\x00.\x00", "ü.ü.ü")
    yield from (good[:-1], good[1:], good[::-1], good * 2, f"{good}.{good}", f"{good} {good}")
    yield from (f"Bearer {good}", f"bearer  '{good}'", f"Authorization: Bearer {good}", f'"{good}"')
    yield from (good.replace(".", "%2E"), good.replace(".", "\n."), good.replace(".", " . "))
    yield from (f"{good}=", good.replace(".", "=="), good + "\ud800", "\N{BYTE ORDER MARK}" + good)
    yield from ("x" * 16_384, "x" * 20_000, "." * 20_000, f"{'a' * 5000}.{'b' * 5000}.{'c' * 5000}")
    yield from (
        raw(PAYLOAD, signature=text) for text in ("", "=", "a", "ab", "a" * 9000, "+/", "ü")
    )
    yield from (f'{{"access_token":"{good}"}}', f"<p>{good}</p>", "-----BEGIN PUBLIC KEY-----\nx")
    yield from ("v4.public.abc", f"access_token={good}", f"https://h/?token={good}", good[:4096])


def hostile_tokens() -> tuple[str, ...]:
    """All of them, each once."""
    found = [
        *_whole(),
        *(raw(payload) for payload in (*_JSON, *_BYTES)),
        *(raw(PAYLOAD, header) for header in (*_JSON, *_BYTES)),
        *(raw(f'{{"{name}":{value}}}') for name, value in product(_CLAIMS, _VALUES)),
        *(
            raw(PAYLOAD, f'{{"alg":"HS256","{name}":{value}}}')
            for name, value in product(_HEADERS, _VALUES)
        ),
        *(raw(PAYLOAD, f'{{"alg":"HS256","kid":"{kid}"}}') for kid in _KIDS),
        *(raw(PAYLOAD, f'{{"alg":"{alg}"}}', "") for alg in ("none", "NONE", "nOnE", "", CANARY)),
    ]
    return tuple(dict.fromkeys(found))
