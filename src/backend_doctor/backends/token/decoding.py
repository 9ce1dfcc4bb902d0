"""Reads a token in JWS compact form strictly, and says what is wrong where a library just raises.

Nothing that could identify a person or reproduce the token leaves this module: names of
registered algorithms and types, and the numbers of exp, iat and nbf.
"""

import base64
import json
import re
from typing import Any, Literal

import msgspec

MOST_BYTES = 16_384
"""Longer is refused: servers take 8 to 16 KiB for all headers together."""

ALGORITHMS = frozenset(
    {f"{family}{size}" for family in ("HS", "RS", "PS", "ES") for size in (256, 384, 512)}
    | {"ES256K", "ES521", "EdDSA", "Ed25519", "Ed448"}
)
_TYPES = {"jwt": "JWT", "at+jwt": "at+jwt", "application/at+jwt": "at+jwt", "": ""}
_PART = re.compile(r"[A-Za-z0-9_-]*")
_NUMERIC_TEXT = re.compile(r"\s*-?\d+(\.\d+)?\s*")
_TIMES = ("exp", "iat", "nbf")
# names that a report may show; any other could hold what is personal
_REGISTERED = frozenset(
    {"alg", "typ", "cty", "kid", "jku", "jwk", "x5u", "x5c", "x5t", "crit", "enc", "zip"}
    | {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope"}
)
_KIND_OF_TOKEN = ("type", "token_type", "token_use", "typ")

Form = Literal[
    "missing",
    "number",
    "numeric_text",
    "text",
    "boolean",
    "null",
    "list",
    "object",
    "not_finite",
    "too_large",
]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A moment in a token: seconds since 1970 where ``form`` is number, else what it is."""

    form: Form = "missing"
    value: float = 0.0

    @property
    def seconds(self) -> float | None:
        """The number, if it is one."""
        return self.value if self.form == "number" else None


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says of itself, without what is personal.

    ``alg`` is a registered name, "none" for any spelling of it, or "other"; ``problem`` says why
    the rest is empty. ``refresh`` when a claim says that it is a refresh token.
    """

    alg: str = ""
    typ: str = ""
    kid: bool = False
    refresh: bool = False
    encrypted: bool = False
    exp: Claim = Claim()
    iat: Claim = Claim()
    nbf: Claim = Claim()
    problem: str = ""
    notes: tuple[str, ...] = ()


class _MalformedError(Exception):
    """The token cannot be read; the message says where and why."""


class _Odd:
    """Stands for a number that no float holds."""

    def __init__(self, form: Form) -> None:
        self.form = form


_TOO_LARGE, _NOT_FINITE = _Odd("too_large"), _Odd("not_finite")


def _whole(digits: str) -> int | _Odd:
    return int(digits) if len(digits) <= 18 else _TOO_LARGE


def _fraction(digits: str) -> float | _Odd:
    value = float(digits)
    return value if abs(value) < 1e18 else _TOO_LARGE


def _constant(name: str) -> _Odd:
    del name
    return _NOT_FINITE


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            name = f"{key!r}" if key in _REGISTERED else "a key"
            raise _MalformedError(f"{name} stands twice, and libraries differ in which one counts")
        found[key] = value
    return found


def _unpack(part: str, name: str) -> bytes:
    if "=" in part:
        raise _MalformedError(f"the {name} is padded with '=', which the JWT form does not have")
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise _MalformedError(f"the {name} is not base64url")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _object(part: str, name: str) -> dict[str, Any]:
    raw = _unpack(part, name)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise _MalformedError(f"the {name} is not UTF-8 text") from error
    except RecursionError as error:
        raise _MalformedError(f"the {name} is nested too deeply") from error
    except ValueError as error:
        raise _MalformedError(f"the {name} is not JSON") from error
    if not isinstance(value, dict):
        raise _MalformedError(f"the {name} is JSON, but no object")
    return value


def _form(value: object) -> Form:
    if isinstance(value, str):
        return "numeric_text" if _NUMERIC_TEXT.fullmatch(value) else "text"
    forms: dict[type, Form] = {bool: "boolean", type(None): "null", list: "list", dict: "object"}
    return forms[type(value)]


def _claim(payload: dict[str, Any], name: str) -> Claim:
    if name not in payload:
        return Claim()
    value = payload[name]
    if isinstance(value, _Odd):
        return Claim(form=value.form)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Claim(form="number", value=float(value))
    return Claim(form=_form(value))


def _algorithm(header: dict[str, Any]) -> str:
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise _MalformedError("the header names no algorithm (alg)")
    if alg.lower() == "none":
        return "none"
    return alg if alg in ALGORITHMS else "other"


def _type(header: dict[str, Any]) -> str:
    typ = header.get("typ", "")
    return _TYPES.get(typ.lower(), "other") if isinstance(typ, str) else "other"


def bare(text: str) -> tuple[str, tuple[str, ...]]:
    """The token without what is often copied along with it, and notes that say so."""
    token, notes = text.strip(), []
    if token != text.rstrip("\r\n"):
        notes.append("blanks around the sample were left out")
    if len(token) >= 2 and token[0] == token[-1] and token[0] in "'\"":
        token = token[1:-1].strip()
        notes.append("quotes around the sample were left out")
    if token[:7].lower() == "bearer ":
        token = token[7:].strip()
        notes.append("the word Bearer before the sample was left out")
    return token, tuple(notes)


def _refuse_length(token: str) -> None:
    if not token:
        raise _MalformedError("the sample is empty")
    if len(token) > MOST_BYTES:
        raise _MalformedError(
            f"it is longer than {MOST_BYTES // 1024} KiB, which no header of HTTP carries"
        )


def _signed(token: str) -> Decoded:
    parts = token.split(".")
    if len(parts) == 5:
        return Decoded(encrypted=True)
    if len(parts) != 3:
        found = "1 part" if len(parts) == 1 else f"{len(parts)} parts"
        raise _MalformedError(f"a JWT has three parts between dots, this has {found}")
    header, payload = _object(parts[0], "header"), _object(parts[1], "payload")
    _unpack(parts[2], "signature")
    alg = _algorithm(header)
    if not parts[2] and alg != "none":
        raise _MalformedError("the signature is missing: the third part is empty")
    if any(isinstance(value, _Odd) for key, value in payload.items() if key not in _TIMES):
        raise _MalformedError("the payload holds a number that most JSON readers cannot hold")
    return Decoded(
        alg=alg,
        typ=_type(header),
        kid="kid" in header,
        refresh=any(payload.get(key) == "refresh" for key in _KIND_OF_TOKEN),
        exp=_claim(payload, "exp"),
        iat=_claim(payload, "iat"),
        nbf=_claim(payload, "nbf"),
    )


def decode(text: str) -> Decoded:
    """What the token in ``text`` says. Never raises: ``problem`` says why it cannot be read."""
    token, notes = bare(text)
    try:
        _refuse_length(token)
        decoded = _signed(token)
    except _MalformedError as error:
        decoded = Decoded(problem=str(error))
    return msgspec.structs.replace(decoded, notes=notes)
