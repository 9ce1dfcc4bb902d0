from collections.abc import Iterator

from backend_doctor import Cause, Confidence, Finding, Instance, Remedy, Status, Step, check
from backend_doctor.backends.token.header import Hazard
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.words import advice, declared_keys, evidence, look_inside

_PINNED = advice(
    'key = KEYS[jwt.get_unverified_header(token)["kid"]]',
    "the verifier takes keys from its own table and refuses any kid that is not in it",
    Step.STOP,
)
_EXAMPLE = "https://auth.example.com/jwks"


def _hazard(status: Status, name: str, text: str, cause: Cause, *remedies: Remedy) -> Finding:
    return Finding(
        status=status,
        summary=f"The sample token's header is a hazard: {text}.",
        evidence=(evidence("header", name, text),),
        cause=cause,
        remedies=remedies,
    )


def _key_from_header(name: str, what: str, instance: Instance) -> Finding:
    url = declared_keys(instance) or _EXAMPLE
    return _hazard(
        Status.WARNING,
        name,
        f"{name} {what}",
        Cause(
            label="token.key_from_header",
            confidence=Confidence.LIKELY,
            because="a verifier that follows it lets whoever wrote the token choose the key",
        ),
        advice(
            f'jwt.PyJWKClient("{url}").get_signing_key_from_jwt(token)',
            "the verifier asks the one issuer that it is configured with, whatever the header says",
            Step.STOP,
        ),
        advice("Leave it out of the header; name the key by kid.", "no verifier can follow it"),
    )


def _kid(status: Status, text: str, because: str) -> Finding:
    cause = Cause(label="token.kid_unsafe", confidence=Confidence.LIKELY, because=because)
    short = advice("Use a key's thumbprint (RFC 7638) as its kid.", "42 harmless characters")
    return _hazard(status, "kid", text, cause, _PINNED, short)


def _critical(text: str, because: str, instance: Instance) -> Finding:
    cause = Cause(label="token.critical_header", confidence=Confidence.LIKELY, because=because)
    drop = advice("Leave crit out of the header.", "verifiers that do not know it take the token")
    return _hazard(Status.WARNING, "crit", text, cause, look_inside(instance), drop)


_KIDS: dict[Hazard, Finding] = {
    "kid_unsafe": _kid(
        Status.CRITICAL,
        "kid holds a path, a quote or another character that a shell, SQL or file name acts on",
        "a verifier that looks its key up by an unchecked kid reads a file or a row of the "
        "token's choice",
    ),
    "kid_not_text": _kid(
        Status.WARNING,
        "kid is no text",
        "RFC 7515 asks for a text; some libraries refuse the token, others fail to find its key",
    ),
}
_KEYS: dict[Hazard, str] = {
    "jku": "names a URL to fetch keys from",
    "x5u": "names a URL to fetch a certificate from",
    "jwk": "brings the key to verify with",
}
_CRITICAL: dict[Hazard, tuple[str, str]] = {
    "crit_malformed": (
        "crit is no list of names that stand in the header",
        "RFC 7515 has verifiers refuse such a token; some do, others pass over it",
    ),
    "crit_unknown": (
        "crit names an extension that no common library knows",
        "a verifier that does not know the extension must refuse the token; python-jose does not",
    ),
}


def _found(hazard: Hazard, instance: Instance) -> Finding:
    if hazard in _KEYS:
        return _key_from_header(hazard, _KEYS[hazard], instance)
    if hazard in _CRITICAL:
        return _critical(*_CRITICAL[hazard], instance)
    return _KIDS[hazard]


@check
def header(sample: SampleToken, instance: Instance) -> Iterator[Finding]:
    """A token's header that makes a careless verifier use the wrong key.

    Judges kid, jku, x5u, jwk and crit (RFC 7515, section 4.1; RFC 8725, section 3.10).
    """
    if not sample.readable:
        raise nothing_to_judge("the sample's header cannot be judged")
    if sample.hazards:
        yield from (_found(hazard, instance) for hazard in sample.hazards)
        return
    key = "names its key by kid" if sample.kid else "names no key"
    typ = f"typ {sample.typ}" if sample.typ not in ("", "other") else "no common typ"
    yield Finding(
        status=Status.OK,
        summary=f"The sample's header {key}, has {typ}, and asks for nothing unusual.",
    )
