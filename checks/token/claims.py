from collections.abc import Iterator

from backend_doctor import Cause, Confidence, Finding, Instance, Status, Step, Subject, check
from backend_doctor.backends.token.claims import Match
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.words import advice, evidence, look_inside

_DIFFERS: dict[Match, str] = {
    "missing": "is missing",
    "slash": "differs from it only in a slash at the end",
    "case": "differs from it only in upper and lower case",
    "other": "is another",
}
_WANTED = ("iss", "sub", "aud", "iat", "jti")
# RFC 9068, 2.2
_OF_PROFILE = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")


def _audience(sample: SampleToken, expected: tuple[str, ...], instance: Instance) -> Finding:
    claims, names = sample.claims, " or ".join(expected)
    because = "verifiers refuse a token that is not addressed to them, each time with a 401"
    if claims.identity:
        because = (
            "it is an ID token, which is addressed to the client: the API wants the access token"
        )
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token is not for {names}: its aud {_DIFFERS[claims.audience]}.",
        evidence=(
            evidence("expected_audience", names, f"verifiers expect {names} in aud"),
            evidence("audience", claims.audience, f"the token's aud {_DIFFERS[claims.audience]}"),
            evidence("audiences", claims.audiences, f"aud names {claims.audiences} in all"),
        ),
        cause=Cause(label="token.audience", confidence=Confidence.CERTAIN, because=because),
        remedies=(
            look_inside(instance),
            advice(
                f"Have the client ask the issuer for a token with audience {expected[0]}.",
                "tokens issued from then on are accepted; users notice nothing",
            ),
            advice(
                f'jwt.decode(token, key, algorithms=[...], audience="{expected[0]}")',
                "keeps each service to its own tokens; a list in aud may name several services",
                Step.PREVENT,
            ),
        ),
    )


def _issuer(match: Match, expected: tuple[str, ...], instance: Instance) -> Finding:
    names = " or ".join(expected)
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token was not issued by {names}: its iss {_DIFFERS[match]}.",
        evidence=(
            evidence("expected_issuer", names, f"verifiers expect {names} in iss"),
            evidence("issuer", match, f"the token's iss {_DIFFERS[match]}"),
        ),
        cause=Cause(
            label="token.issuer",
            confidence=Confidence.CERTAIN,
            because="verifiers compare iss letter by letter and refuse any other with a 401",
        ),
        subjects=(Subject(kind="setting", value="issuer"),),
        remedies=(
            look_inside(instance),
            advice(
                "Set the verifier's issuer to what the issuer's discovery document says, "
                "letter by letter.",
                "tokens of that issuer are accepted; check first that it is the right environment",
            ),
        ),
    )


def _wrong_types(sample: SampleToken) -> tuple[str, ...]:
    times = {"iat": sample.iat, "nbf": sample.nbf}
    return (
        *sample.claims.not_text,
        *(["aud"] if sample.claims.audience == "not_text" else []),
        *(name for name, claim in times.items() if claim.form not in ("missing", "number")),
    )


def _claim_type(names: tuple[str, ...]) -> Finding:
    spoken = " and ".join(names)
    return Finding(
        status=Status.WARNING,
        summary=f"The sample token's {spoken} is not of the type that RFC 7519 asks for.",
        evidence=(evidence("claims", names, f"{spoken}: no text, or no number for a time"),),
        cause=Cause(
            label="token.claim_type",
            confidence=Confidence.CERTAIN,
            because="libraries differ: PyJWT refuses a sub or jti that is no text since 2.10, "
            "others take it, so an update logs users out",
        ),
        remedies=(advice('"sub": str(user.id)', "texts for names, whole numbers for times"),),
    )


def _secret_inside(words: tuple[str, ...]) -> Finding:
    spoken = ", ".join(words)
    return Finding(
        status=Status.WARNING,
        summary=f"The sample token's payload holds {spoken}; whoever has the token can read it.",
        evidence=(evidence("payload", words, f"in plain view: {spoken}"),),
        cause=Cause(
            label="token.secret_in_payload",
            confidence=Confidence.LIKELY,
            because="a payload is only encoded: browsers, proxies and logs see what is in it",
        ),
        remedies=(
            advice("Take it out of the payload; keep it on the server.", "new tokens are clean"),
            advice(
                "Change what was exposed, such as the password or key.",
                "tokens already issued, and logs that hold them, are of no more use",
                Step.PREVENT,
            ),
        ),
    )


def _notes(sample: SampleToken) -> Iterator[str]:
    claims = sample.claims
    if missing := [name for name in _WANTED if name not in claims.present]:
        yield f"it has no {', '.join(missing)}: verifiers cannot check what is not there"
    if undeclared := [
        key
        for key, match in (("audience", claims.audience), ("issuer", claims.issuer))
        if match == "undeclared"
    ]:
        yield f"declare {' and '.join(undeclared)} under token to have it compared"
    lacking = [name for name in _OF_PROFILE if name not in claims.present]
    if sample.typ == "at+jwt" and lacking:
        yield f"typ at+jwt promises {', '.join(lacking)} too (RFC 9068)"
    if claims.personal:
        yield f"whoever holds it can read {', '.join(claims.personal)}"


@check
def claims(sample: SampleToken, instance: Instance) -> Iterator[Finding]:
    """A token for another service, of another issuer, or with what does not belong into it.

    aud and iss are compared with the declared ``audience`` and ``issuer``, letter by letter.
    """
    if not sample.readable:
        raise nothing_to_judge("the sample's claims cannot be read")
    found = []
    audiences, issuers = instance.texts("audience"), instance.texts("issuer")
    if audiences and sample.claims.audience in _DIFFERS:
        found.append(_audience(sample, audiences, instance))
    if issuers and sample.claims.issuer in _DIFFERS:
        found.append(_issuer(sample.claims.issuer, issuers, instance))
    if names := _wrong_types(sample):
        found.append(_claim_type(names))
    if sample.claims.secrets:
        found.append(_secret_inside(sample.claims.secrets))
    yield from found
    if not found:
        agree = [
            name
            for name, match in (("aud", sample.claims.audience), ("iss", sample.claims.issuer))
            if match == "equal"
        ]
        said = f"{' and '.join(agree)} as declared" if agree else "no claim that contradicts it"
        yield Finding(
            status=Status.OK,
            summary=f"The sample has {said}, and no secret in its payload.",
            notes=tuple(_notes(sample)),
        )
