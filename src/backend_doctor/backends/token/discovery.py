"""An issuer's discovery document (OpenID Connect Discovery 1.0), as far as tokens depend on it."""

import re
from collections.abc import Iterator
from typing import Any, Self

from backend_doctor.backends.token.claims import Match, match_of
from backend_doctor.backends.token.compact import MalformedError, json_object
from backend_doctor.backends.token.connection import TokenConnection, origin_of
from backend_doctor.backends.token.decoding import decode
from backend_doctor.endpoint import public_url
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

_WELL_KNOWN = "/.well-known/"
_OF_HOSTS = ("login", "refresh", "jwks", "protected")


class Discovery(Fact, frozen=True, kw_only=True):
    """What the document at ``url`` says; ``problem`` says why it cannot be used.

    ``url`` is given without its query. ``declared`` unless the address follows from the declared
    issuer. ``issuer`` compares its issuer with the declared one, ``place`` with its own address,
    and ``sample`` that of the sample with it. ``jwks`` is its key set's URL where that is on the
    same host; ``elsewhere`` when it is on another.
    """

    url: str
    declared: bool
    problem: str = ""
    issuer: Match = "undeclared"
    place: Match = "undeclared"
    sample: Match = "undeclared"
    jwks: str = ""
    elsewhere: bool = False

    @classmethod
    async def collect(cls, tokens: TokenConnection, instance: Instance) -> Self:
        """One GET. Raises Absent where neither the document's address nor an issuer on a
        declared host is declared: what only a token names is never asked."""
        declared = "discovery" in instance.settings
        base = next(_issuers(instance), "")
        if not base:
            raise Absent("no discovery document is declared", kind=AbsenceKind.NOT_APPLICABLE)
        url = base
        if _WELL_KNOWN not in base:
            url = f"{base.rstrip('/')}{_WELL_KNOWN}openid-configuration"
        shown = public_url(url)
        reply = await tokens.get(url)
        problem = reply.problem or (
            f"the answer has status {reply.status}" if reply.status != 200 else ""
        )
        if problem:
            return cls(url=shown, declared=declared, problem=problem)
        try:
            found = json_object(reply.body.encode("utf-8", "surrogatepass"), "discovery document")
        except MalformedError as error:
            return cls(url=shown, declared=declared, problem=str(error))
        return cls(url=shown, declared=declared, **_read(found, url, tokens, instance))


def _issuers(instance: Instance) -> Iterator[str]:
    given = instance.settings.get("discovery")
    if isinstance(given, str):
        yield given
    values = (*(instance.settings.get(key) for key in _OF_HOSTS), *instance.texts("hosts"))
    hosts = {origin_of(value) for value in values if isinstance(value, str)} - {""}
    yield from (issuer for issuer in instance.texts("issuer") if origin_of(issuer) in hosts)


def _read(
    found: dict[str, Any], url: str, tokens: TokenConnection, instance: Instance
) -> dict[str, Any]:
    issuer = found.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        return {"problem": "the discovery document names no issuer"}
    jwks = found.get("jwks_uri")
    plain = isinstance(jwks, str) and re.fullmatch(r"[!-~]+", jwks) is not None
    here = plain and origin_of(str(jwks)) == origin_of(url)
    return {
        "issuer": match_of([issuer], instance.texts("issuer")),
        "place": match_of([issuer], (url.partition(_WELL_KNOWN)[0],)),
        "sample": _of_sample(tokens, issuer),
        "jwks": jwks if here else "",
        "elsewhere": plain and not here,
    }


def _of_sample(tokens: TokenConnection, issuer: str) -> Match:
    try:
        decoded = decode(tokens.sample().reveal(), (), (issuer,))
    except Absent:
        return "undeclared"
    return "undeclared" if decoded.problem or decoded.encrypted else decoded.claims.issuer
