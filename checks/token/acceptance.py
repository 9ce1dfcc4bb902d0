from collections.abc import Iterator
from shlex import quote

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.token.clocks import Clocks
from backend_doctor.backends.token.keyset import KeySet
from backend_doctor.backends.token.protected import ProtectedAnswers
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.times import leeway_of, span, unit_of
from backend_doctor.backends.token.words import advice

_GRACE = 300.0


def _finding(
    answers: ProtectedAnswers,
    summary: str,
    evidence: tuple[Evidence, ...],
    cause: Cause,
    *remedies: Remedy,
) -> Finding:
    guessed = cause.confidence is Confidence.POSSIBLE
    return Finding(
        status=Status.WARNING if guessed else Status.CRITICAL,
        summary=summary,
        evidence=evidence,
        cause=cause,
        remedies=remedies,
        subjects=(Subject(kind="endpoint", value=answers.path),),
    )


def _statuses(answers: ProtectedAnswers) -> Iterator[Evidence]:
    tried = {
        "status_with_the_sample": answers.sample,
        "status_without_a_token": answers.without,
        "status_to_garbage": answers.garbage,
    }
    for key, answer in tried.items():
        if answer:
            text = f"{answer.status} {key.removeprefix('status_').replace('_', ' ')}"
            yield Evidence(key=key, value=answer.status, text=text, source="GET of the endpoint")


def _dropped(answers: ProtectedAnswers, confidence: Confidence) -> Finding:
    same = Evidence(
        key="answers_alike",
        value=True,
        text="the answers without a token, to garbage and to the sample say the same",
        source="GET of the endpoint",
    )
    return _finding(
        answers,
        f"{answers.path} answers the sample token as it answers none at all: the Authorization "
        "header is lost on the way.",
        (same, *_statuses(answers)),
        Cause(
            label="token.header_dropped",
            confidence=confidence,
            because="a proxy, gateway or redirect removes the header, or the application reads "
            "another one; or it words all refusals alike and refuses the token for another reason",
        ),
        advice(
            "Ask the application itself, past the proxy: curl -si -H @header.txt "
            + quote(f"http://127.0.0.1:8000{answers.path}"),
            "header.txt holds `Authorization: Bearer ...`; if that works, the proxy drops it",
            Step.CONFIRM,
        ),
        advice(
            "proxy_set_header Authorization $http_authorization;",
            "nginx hands the header on; Apache needs CGIPassAuth On or WSGIPassAuthorization On",
        ),
    )


def _stale(answers: ProtectedAnswers) -> Finding:
    known = Evidence(
        key="sample_key_published",
        value=True,
        text="the published key set has the sample's key, and its signature fits",
        source="key set, fetched by GET",
    )
    return _finding(
        answers,
        f"{answers.path} refuses a token that the published key set verifies: it knows an older "
        "set.",
        (known, *_statuses(answers)),
        Cause(
            label="token.jwks_stale",
            confidence=Confidence.LIKELY,
            because="the issuer signs with a newer key than the verifier's copy of the set holds; "
            "users get a 401 until it is fetched anew",
        ),
        advice(
            "Restart one verifier, which has it fetch the key set, and ask again.",
            "if that instance accepts the token, the others hold an old set",
            Step.CONFIRM,
        ),
        advice(
            "Fetch the set anew when a token names an unknown kid (at most once a minute).",
            "a rotated key is known at once, and hostile tokens cause no storm of requests",
        ),
    )


def _refused(answers: ProtectedAnswers) -> Finding:
    return _finding(
        answers,
        f"{answers.path} refuses the sample token, which is valid as far as can be told offline.",
        tuple(_statuses(answers)),
        Cause(
            label="token.valid_refused",
            confidence=Confidence.POSSIBLE,
            because="the verifier's key, audience, issuer or clock differs from what is declared, "
            "or the session behind the token has ended",
        ),
        advice(
            "Look for InvalidSignatureError, InvalidAudienceError, InvalidIssuerError or "
            "ImmatureSignatureError in the application's log.",
            "says which of them it is",
            Step.CONFIRM,
        ),
    )


def _over(answers: ProtectedAnswers, seconds: float) -> Finding:
    evidence = Evidence(
        key="expired_seconds",
        value=round(seconds),
        text=f"the sample's exp passed {span(seconds)} ago",
        source="sample token, decoded offline",
    )
    return _finding(
        answers,
        f"{answers.path} accepts the sample token {span(seconds)} after its end.",
        (evidence, *_statuses(answers)),
        Cause(
            label="token.expiry_unchecked",
            confidence=Confidence.CERTAIN,
            because="the verifier does not look at exp, or forgives far too much",
        ),
        advice(
            'jwt.decode(token, key, algorithms=["HS256"], leeway=60)',
            "verifies exp, as PyJWT does unless it is told not to (verify_exp)",
            Step.STOP,
        ),
    )


def _valid(sample: SampleToken, now: float, leeway: int) -> bool:
    """Whether nothing that can be seen offline speaks against it."""
    claims = sample.claims
    begins = max(sample.nbf.seconds or 0.0, sample.iat.seconds or 0.0)
    mismatched = {"slash", "case", "other", "not_text"} & {claims.audience, claims.issuer}
    forged = sample.signature in ("wrong", "confused") or sample.alg in ("none", "other")
    return begins <= now + leeway and not (mismatched or forged or sample.hazards)


@check
def acceptance(
    answers: ProtectedAnswers,
    sample: SampleToken,
    keys: KeySet | None,
    clocks: Clocks | None,
    instance: Instance,
) -> Iterator[Finding]:
    """A valid token is refused: its header gets lost, or the verifier knows an old key.

    The sample is sent to the declared protected endpoint alone. One that is over by more than
    5 min and the leeway must be refused.
    """
    given = answers.sample
    if given is None or answers.throttled:
        raise nothing_to_judge("the sample was not sent to a protected endpoint")
    if answers.garbage is None or not answers.garbage.refused:
        raise nothing_to_judge("without a valid token it is not refused either")
    if not given.status:
        raise Absent(f"{answers.path} gave no answer to the sample: {given.problem}")
    now = answers.observed + (clocks.correction if clocks else 0.0)
    leeway, exp = leeway_of(instance), sample.exp.seconds
    left = None if exp is None or unit_of(exp, now) else exp - now
    if given.accepted and left is not None and -left > leeway + _GRACE:
        yield _over(answers, -left)
    elif given.refused and (left is None or left > 0) and _valid(sample, now, leeway):
        yield _why_refused(answers, sample, keys)
    elif given.refused:
        raise nothing_to_judge("the sample is refused, as it is not valid any more or by itself")
    else:
        yield Finding(
            status=Status.OK, summary=f"{answers.path} answers {given.status} to the sample token."
        )


def _why_refused(answers: ProtectedAnswers, sample: SampleToken, keys: KeySet | None) -> Finding:
    if all(answer and answer.alike for answer in (answers.garbage, answers.sample)):
        certain = sample.signature == "verified" and not (keys and keys.fetched)
        return _dropped(answers, Confidence.LIKELY if certain else Confidence.POSSIBLE)
    published = keys is not None and keys.fetched and keys.knows_sample == "yes"
    compared = "undeclared" not in (sample.claims.audience, sample.claims.issuer)
    if published and compared and sample.signature == "verified":
        return _stale(answers)
    return _refused(answers)
