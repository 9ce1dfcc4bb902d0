from collections.abc import Iterator

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.token.forgery import Forgery
from backend_doctor.backends.token.words import advice

Accepted = dict[str, tuple[str, int]]
_UNVERIFIED = Cause(
    label="token.not_verified",
    confidence=Confidence.CERTAIN,
    because="the signature is not looked at: anybody can log in as anyone",
)
_CONFUSED = Cause(
    label="token.alg_confusion",
    confidence=Confidence.CERTAIN,
    because="the verifier takes the algorithm from the token: anybody can log in as anyone",
)
_PINNED = advice(
    'jwt.decode(token, key, algorithms=["RS256"])',
    "takes the algorithm from the code, never from the token; other algorithms get a 401",
    Step.STOP,
)


def _evidence(forgery: Forgery, accepted: Accepted) -> Iterator[Evidence]:
    source = "GET of the declared protected endpoint"
    for key, (words, status) in accepted.items():
        text = f"{status} to a copy {words}"
        yield Evidence(key=key, value=status, text=text, source=source)
    genuine = forgery.genuine
    text = f"{genuine} to the genuine token"
    yield Evidence(key="genuine_status", value=genuine, text=text, source=source)


def _finding(forgery: Forgery, accepted: Accepted, cause: Cause) -> Finding:
    how = next(iter(accepted.values()))[0]
    return Finding(
        status=Status.CRITICAL,
        summary=f"{forgery.path} accepts a forged token: a copy {how}.",
        evidence=tuple(_evidence(forgery, accepted)),
        cause=cause,
        remedies=(
            _PINNED,
            advice(
                "Change the signing key, and look in the access log for what was let in.",
                "ends all sessions; do it once the verifier is mended",
            ),
        ),
        subjects=(Subject(kind="endpoint", value=forgery.path),),
    )


@check
def forgery(forgery: Forgery) -> Iterator[Finding]:
    """The endpoint accepts tokens that anybody could have written; tried with --forge only.

    Copies of a valid token: without its signature, with another payload, with alg none, and signed
    with the public key's text.
    """
    if not 200 <= forgery.genuine <= 299:
        raise Absent(f"{forgery.path} answers {forgery.genuine} to the genuine token")
    if not forgery.none:
        raise Absent(f"{forgery.path} lets in what is no token at all, or gives no answer")
    tried: Accepted = {
        "tampered_status": ("with another payload beneath the signature", forgery.tampered),
        "unsigned_status": ("without its signature", forgery.unsigned),
        "none_status": ("that says alg none", forgery.none),
        "confused_status": (
            "signed by HS256 with the public key's text for a secret",
            forgery.confused or 0,
        ),
    }
    accepted = {key: one for key, one in tried.items() if 200 <= one[1] <= 299}
    if "tampered_status" in accepted:
        yield _finding(forgery, accepted, _UNVERIFIED)
    elif accepted:
        yield _finding(forgery, accepted, _CONFUSED)
    else:
        without = () if forgery.confused is not None else ("no public key to try for a secret",)
        yield Finding(
            status=Status.OK,
            summary=f"{forgery.path} refuses forged copies of a token that it accepts.",
            notes=without,
        )
