"""Says what a token is, and what is wrong with it where a library just raises.

Nothing that could identify a person or reproduce the token leaves this module: names of
registered algorithms, types and claims, the numbers of exp, iat and nbf, and words of ours.
"""

import re
from typing import Any, Literal

import msgspec

from backend_doctor.backends.token.claims import Claims, claims_of
from backend_doctor.backends.token.compact import (
    MalformedError,
    Odd,
    bare,
    json_object,
    parts_of,
    unpack,
)
from backend_doctor.backends.token.header import (
    Hazard,
    algorithm_of,
    hazards_of,
    refuse_unsigned_forms,
    type_of,
)
from backend_doctor.facts import Fact

_NUMERIC_TEXT = re.compile(r"\s*-?\d+(\.\d+)?\s*")
_TIMES = ("exp", "iat", "nbf")
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


class Decoded(Fact, frozen=True):
    """What a token says of itself, without what is personal.

    ``alg`` is a registered name, "none" for any spelling of it, or "other"; ``problem`` says why
    the rest is empty. ``refresh`` when a claim says that it is a refresh token. ``size`` counts
    its bytes.
    """

    alg: str = ""
    typ: str = ""
    kid: bool = False
    refresh: bool = False
    encrypted: bool = False
    exp: Claim = Claim()
    iat: Claim = Claim()
    nbf: Claim = Claim()
    size: int = 0
    hazards: tuple[Hazard, ...] = ()
    claims: Claims = Claims()
    problem: str = ""
    notes: tuple[str, ...] = ()


def _form(value: object) -> Form:
    if isinstance(value, str):
        return "numeric_text" if _NUMERIC_TEXT.fullmatch(value) else "text"
    forms: dict[type, Form] = {bool: "boolean", type(None): "null", list: "list", dict: "object"}
    return forms[type(value)]


def _claim(payload: dict[str, Any], name: str) -> Claim:
    if name not in payload:
        return Claim()
    value = payload[name]
    if isinstance(value, Odd):
        return Claim(form=value.form)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Claim(form="number", value=float(value))
    return Claim(form=_form(value))


def _encrypted(header: dict[str, Any]) -> Decoded:
    if not isinstance(header.get("enc"), str):
        raise MalformedError("it has the five parts of an encrypted token, but names no enc")
    return Decoded(encrypted=True)


def _signed(
    header: dict[str, Any], rest: list[str], audiences: tuple[str, ...], issuers: tuple[str, ...]
) -> Decoded:
    refuse_unsigned_forms(header)
    payload = json_object(unpack(rest[0], "payload"), "payload")
    unpack(rest[1], "signature")
    alg = algorithm_of(header)
    if not rest[1] and alg != "none":
        raise MalformedError("the signature is missing: the third part is empty")
    if any(isinstance(value, Odd) for key, value in payload.items() if key not in _TIMES):
        raise MalformedError("the payload holds a number that most JSON readers cannot hold")
    return Decoded(
        alg=alg,
        typ=type_of(header),
        kid="kid" in header,
        refresh=any(payload.get(key) == "refresh" for key in _KIND_OF_TOKEN),
        exp=_claim(payload, "exp"),
        iat=_claim(payload, "iat"),
        nbf=_claim(payload, "nbf"),
        hazards=hazards_of(header),
        claims=claims_of(payload, audiences, issuers),
    )


def decode(text: str, audiences: tuple[str, ...] = (), issuers: tuple[str, ...] = ()) -> Decoded:
    """What the token in ``text`` says. Never raises: ``problem`` says why it cannot be read.

    ``audiences`` and ``issuers`` are what its aud and iss are compared with.
    """
    token, notes = bare(text)
    try:
        header, *rest = parts_of(token)
        read = json_object(unpack(header, "header"), "header")
        decoded = _encrypted(read) if len(rest) == 4 else _signed(read, rest, audiences, issuers)
    except MalformedError as error:
        decoded = Decoded(problem=str(error))
    size = len(token.encode("utf-8", "surrogatepass"))
    return msgspec.structs.replace(decoded, size=size, notes=notes)


def key_id(text: str) -> str:
    """The header's kid, which may be shown to nobody; "" where none can be read."""
    try:
        header = json_object(unpack(parts_of(bare(text)[0])[0], "header"), "header")
    except MalformedError:
        return ""
    kid = header.get("kid")
    return kid if isinstance(kid, str) else ""
