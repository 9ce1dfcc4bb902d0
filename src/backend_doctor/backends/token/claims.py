"""What the payload says beside its times, told without its values."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

Match = Literal["missing", "not_text", "undeclared", "equal", "slash", "case", "other"]
Payload = dict[str, Any]

_REGISTERED = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id")
_TEXTS = ("iss", "sub", "jti", "client_id")
_OF_IDENTITY = ("nonce", "at_hash", "c_hash")
# of OpenID Connect; letters only, as all names are compared
_PERSONAL = ("email", "phonenumber", "birthdate", "address", "dateofbirth", "taxid")
_SECRET = frozenset(
    {"password", "passwd", "pwd", "passphrase", "passwordhash", "hashedpassword"}
    | {"secret", "clientsecret", "secretkey", "privatekey", "apikey", "apisecret", "refreshtoken"}
    | {"creditcard", "cardnumber", "cvv", "ssn", "socialsecuritynumber", "iban", "databaseurl"}
)
_SECRET_VALUES = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    ("a password's hash", re.compile(r"^(\$(2[aby]|argon2\w*|scrypt|5|6)\$|pbkdf2_sha)")),
    ("a URL with a password", re.compile(r"^[a-z][a-z0-9+.\-]{1,30}://[^/\s:@]*:[^/\s@]+@")),
    ("a cloud access key", re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b")),
)
_ALIKE: tuple[tuple[Match, Callable[[str], str]], ...] = (
    ("equal", str),
    ("slash", lambda name: name.rstrip("/")),
    ("case", str.casefold),
)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Registered claims that are ``present``, and those ``not_text`` although they must be.

    ``audience`` and ``issuer`` compare aud and iss with what is declared; ``audiences`` counts
    those in aud. ``secrets`` says in words of ours what should be nowhere, ``personal`` names
    claims about a person. ``identity`` when it is an ID token.
    """

    present: tuple[str, ...] = ()
    not_text: tuple[str, ...] = ()
    audience: Match = "missing"
    audiences: int = 0
    issuer: Match = "missing"
    secrets: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()
    identity: bool = False


def match_of(said: list[Any], declared: tuple[str, ...]) -> Match:
    """How the names that are said fit those that are declared."""
    if not said or not all(isinstance(one, str) for one in said):
        return "not_text"
    if not declared:
        return "undeclared"
    for match, form in _ALIKE:
        if {form(one) for one in said} & {form(one) for one in declared}:
            return match
    return "other"


def _walk(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, name)
    else:
        yield name, value


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _secrets(payload: Payload) -> Iterator[str]:
    for name, value in _walk(payload):
        if isinstance(value, str) and value:
            if _letters(name) in _SECRET:
                yield f"a claim named {_letters(name)}"
            yield from (words for words, form in _SECRET_VALUES if form.search(value))


def claims_of(
    payload: Payload, audiences: tuple[str, ...] = (), issuers: tuple[str, ...] = ()
) -> Claims:
    """The claims of a payload; ``audiences`` and ``issuers`` are what verifiers accept."""
    aud = payload.get("aud")
    said = aud if isinstance(aud, list) else [aud]
    names = {_letters(name) for name, _ in _walk(payload)}
    return Claims(
        present=tuple(name for name in _REGISTERED if name in payload),
        not_text=tuple(name for name in _TEXTS if not isinstance(payload.get(name, ""), str)),
        audience=match_of(said, audiences) if "aud" in payload else "missing",
        audiences=len(said) if "aud" in payload else 0,
        issuer=match_of([payload["iss"]], issuers) if "iss" in payload else "missing",
        secrets=tuple(dict.fromkeys(_secrets(payload))),
        personal=tuple(name for name in _PERSONAL if name in names),
        identity=any(name in payload for name in _OF_IDENTITY),
    )
