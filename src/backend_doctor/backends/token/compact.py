"""Takes a token in compact form apart, strictly: what libraries read differently is refused."""

import base64
import codecs
import json
import re
from itertools import accumulate
from typing import Any, Literal

MOST_BYTES = 16_384
"""Longer is refused: servers take 8 to 16 KiB for all headers together."""
DEEPEST = 32
"""Levels of lists and objects in each other; readers' own bounds begin at some hundred."""

# names that a report may show; any other could hold what is personal
_REGISTERED = frozenset(
    {"alg", "typ", "cty", "kid", "jku", "jwk", "x5u", "x5c", "x5t", "crit", "enc", "zip", "b64"}
    | {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "keys", "kty", "use"}
)
_STRANGERS = (
    (r"[{\[]", "it is JSON, such as the answer of a login: declare the access_token in it alone"),
    (r"<", "it is HTML or XML, such as an error page"),
    (r"-----BEGIN", "it is a key or a certificate in PEM form"),
    (r"v\d\.(local|public)\.", "it is a PASETO, which is no JWT"),
    (r"\S+\s+\S", "blanks or line breaks divide it: is it one token?"),
)
_SPOILED = (
    (r"=", "is padded with '=', which the JWT form does not have"),
    (r"%[0-9A-Fa-f]{2}", "is percent-encoded: it is to be decoded once"),
    (r"[+/]", "is base64, not base64url: it holds '+' or '/'"),
    (r"[^A-Za-z0-9_-]", "is not base64url"),
)
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_KINDS = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
_TOKEN = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]*")


class MalformedError(Exception):
    """It cannot be read; the message says where and why, without what it holds."""


class Odd:
    """Stands for a number that no float holds, or that JSON does not have."""

    def __init__(self, form: Literal["too_large", "not_finite"]) -> None:
        self.form = form


def _whole(digits: str) -> int | Odd:
    return int(digits) if len(digits) <= 18 else Odd("too_large")


def _fraction(digits: str) -> float | Odd:
    value = float(digits)
    return value if abs(value) < 1e18 else Odd("too_large")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            name = f"{key!r}" if key in _REGISTERED else "a key"
            raise MalformedError(f"{name} stands twice, and libraries differ in which one counts")
        found[key] = value
    return found


def _depth(text: str) -> int:
    brackets = re.findall(r"[\[{}\]]", _STRINGS.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


def json_object(raw: bytes, name: str) -> dict[str, Any]:
    """The JSON object in ``raw``, which messages call ``name``. Raises MalformedError."""
    if not raw:
        raise MalformedError(f"the {name} is empty")
    if raw.startswith(codecs.BOM_UTF8):
        raise MalformedError(
            f"the {name} begins with a byte order mark, which libraries skip or refuse"
        )
    try:
        text = raw.decode("utf-8")
        if _depth(text) > DEEPEST:
            raise MalformedError(f"the {name} is nested too deeply: more than {DEEPEST} levels")
        value = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=lambda _: Odd("not_finite"),
        )
    except UnicodeDecodeError as error:
        raise MalformedError(f"the {name} is not UTF-8 text") from error
    except ValueError as error:
        inner = "another token: declare the inner one" if _TOKEN.fullmatch(raw) else "not JSON"
        raise MalformedError(f"the {name} is {inner}") from error
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "a number")
        raise MalformedError(f"the {name} is JSON, but {kind} where an object belongs")
    return value


def bare(text: str) -> tuple[str, tuple[str, ...]]:
    """The token without what is often copied along with it, and notes that say so."""
    token, notes = text.strip(), []
    if token != text.rstrip("\r\n"):
        notes.append("blanks around the sample were left out")
    if len(token) >= 2 and token[0] == token[-1] and token[0] in "'\"":
        token = token[1:-1].strip()
        notes.append("quotes around the sample were left out")
    if copied := re.match(r"(authorization:\s*)?bearer\s+", token, re.IGNORECASE):
        token = token[copied.end() :].strip()
        notes.append("the word Bearer before the sample was left out")
    return token, tuple(notes)


def unpack(part: str, name: str) -> bytes:
    """The bytes of one part, in the only form that RFC 7515 has. Raises MalformedError."""
    for pattern, words in _SPOILED:
        if re.search(pattern, part):
            raise MalformedError(f"the {name} {words}")
    if len(part) % 4 == 1:
        raise MalformedError(f"the {name} is not base64url: it is cut")
    raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode("ascii"):
        raise MalformedError(f"the {name} is not base64url: bits are left over at its end")
    return raw


def parts_of(token: str) -> list[str]:
    """The three parts of a signed token, or the five of an encrypted one.

    Raises MalformedError, before anything is decoded.
    """
    if not token:
        raise MalformedError("the sample is empty")
    if len(token) > MOST_BYTES:
        raise MalformedError(
            f"it is longer than {MOST_BYTES // 1024} KiB, which no header of HTTP carries"
        )
    for pattern, words in _STRANGERS:
        if re.match(pattern, token):
            raise MalformedError(words)
    parts = token.split(".")
    if len(parts) not in (3, 5):
        found = "1 part" if len(parts) == 1 else f"{len(parts)} parts"
        raise MalformedError(f"a JWT has three parts between dots, this has {found}")
    return parts
