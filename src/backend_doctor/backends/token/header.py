"""What a token's header asks of a verifier: its algorithm, and requests that are a hazard."""

import re
from collections.abc import Callable
from typing import Any, Literal

from backend_doctor.backends.token.compact import MalformedError
from backend_doctor.backends.token.weak import SHORTEST

SHARED_SECRET = frozenset(SHORTEST)
"""Algorithms by which whoever verifies can also sign."""
ALGORITHMS = SHARED_SECRET | frozenset(
    {f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)}
    | {"ES256K", "ES521", "EdDSA", "Ed25519", "Ed448"}
)
"""What signs tokens, as registered with IANA or as libraries call it; without none."""

Hazard = Literal[
    "kid_not_text", "kid_unsafe", "jku", "x5u", "jwk", "crit_malformed", "crit_unknown"
]
Header = dict[str, Any]

_TYPES = {"jwt": "JWT", "at+jwt": "at+jwt", "dpop+jwt": "dpop+jwt", "": ""}
# RFC 7515, 4.1: what every library knows may not be called critical
_KNOWN = frozenset(
    {"alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit"}
)
# '/' alone is none: Amazon Cognito's key ids are plain base64
_UNSAFE_KID = re.compile(
    r"\.\.[/\\]|^/(bin|dev|etc|home|opt|proc|root|tmp|usr|var)/|['\"`|;<>\x00-\x1f\x7f]|\$[({]"
)


def algorithm_of(header: Header) -> str:
    """A registered name, "none" for any spelling of it, or "other". Raises MalformedError."""
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise MalformedError("the header names no algorithm (alg)")
    if alg.lower() == "none":
        return "none"
    return alg if alg in ALGORITHMS else "other"


def type_of(header: Header) -> str:
    """A known typ without "application/", "" for none, or "other"."""
    typ = header.get("typ", "")
    if not isinstance(typ, str):
        return "other"
    return _TYPES.get(typ.lower().removeprefix("application/"), "other")


def refuse_unsigned_forms(header: Header) -> None:
    """Raises MalformedError for a header that is not of a signed token in three parts."""
    if "enc" in header:
        raise MalformedError("the header is of an encrypted token (enc), which has five parts")
    if header.get("b64") is False:
        raise MalformedError("the payload is not encoded (b64), as it must be in a JWT (RFC 7797)")
    if "zip" in header:
        raise MalformedError("the payload is compressed (zip), which only an encrypted one may be")


def _critical(header: Header) -> list[str] | None:
    """The names in crit, none without it; None where it is not as RFC 7515, 4.1.11 asks."""
    if "crit" not in header:
        return []
    names = header["crit"]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        return None
    right = (
        len(set(names)) == len(names) and not _KNOWN & set(names) and header.keys() >= set(names)
    )
    return names if right else None


_RULES: tuple[tuple[Hazard, Callable[[Header], object]], ...] = (
    ("kid_not_text", lambda header: not isinstance(header.get("kid", ""), str)),
    ("kid_unsafe", lambda header: _UNSAFE_KID.search(str(header.get("kid", "")))),
    ("jku", lambda header: "jku" in header),
    ("x5u", lambda header: "x5u" in header),
    # a proof of possession carries its own key by design (RFC 9449)
    ("jwk", lambda header: "jwk" in header and type_of(header) != "dpop+jwt"),
    ("crit_malformed", lambda header: _critical(header) is None),
    ("crit_unknown", lambda header: set(_critical(header) or ()) - {"b64"}),
)


def hazards_of(header: Header) -> tuple[Hazard, ...]:
    """What a careless verifier would do by this header's word."""
    return tuple(hazard for hazard, applies in _RULES if applies(header))
