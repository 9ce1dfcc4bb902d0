from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Status,
    Step,
    check,
)
from backend_doctor.backends.token.header import SHARED_SECRET
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.words import advice, evidence, look_inside

_DECLARED = "declared algorithms"


def _declared(key: str, value: str, text: str) -> Evidence:
    return Evidence(key=key, value=value, text=text, source=_DECLARED)


def _mixed(accepted: tuple[str, ...]) -> bool:
    return bool(SHARED_SECRET & set(accepted)) and bool(set(accepted) - SHARED_SECRET - {"none"})


def _confusion(sample: SampleToken | None, accepted: tuple[str, ...]) -> Iterator[Evidence]:
    if sample and sample.signature == "confused":
        yield evidence(
            "signature",
            "confused",
            f"the sample's {sample.alg} signature was made with the public key as its secret",
        )
    if "none" in accepted:
        yield _declared("accepts_none", "none", "verifiers accept unsigned tokens (none)")
    if _mixed(accepted):
        names = ", ".join(accepted)
        text = f"verifiers accept shared secrets and public keys alike: {names}"
        yield _declared("accepted_algorithms", names, text)


def _confused(why: tuple[Evidence, ...], alg: str) -> Finding:
    proven = any(one.key != "accepted_algorithms" for one in why)
    return Finding(
        status=Status.CRITICAL if proven else Status.WARNING,
        summary=f"Anybody may be able to write a token: {why[0].text}.",
        evidence=why,
        cause=Cause(
            label="token.alg_confusion",
            confidence=Confidence.CERTAIN if proven else Confidence.POSSIBLE,
            because="the token's own header chooses how it is verified; unsigned, or signed with "
            "the public key as a shared secret, it passes where a library does not guard that",
        ),
        remedies=(
            advice(
                f'jwt.decode(token, key, algorithms=["{alg}"])',
                "the verifier then refuses every token that is unsigned or signed otherwise",
                Step.STOP,
            ),
            advice(
                "One key, one algorithm: keep a table of both by kid and issuer.",
                "no header can pair a key with another algorithm (RFC 8725, 3.1)",
                Step.PREVENT,
            ),
        ),
    )


def _not_accepted(alg: str, accepted: tuple[str, ...], instance: Instance) -> Finding:
    names, said = ", ".join(accepted), alg if alg != "other" else "by no registered algorithm"
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token is signed {said}, but verifiers accept only {names}.",
        evidence=(
            evidence("alg", alg, f"the header's alg: {said}"),
            _declared("accepted_algorithms", names, f"verifiers accept {names}"),
        ),
        cause=Cause(
            label="token.algorithm_not_accepted",
            confidence=Confidence.CERTAIN,
            because="the issuer signs otherwise than its verifiers are told, so each request gets "
            "a 401",
        ),
        remedies=(
            look_inside(instance),
            advice(
                "Have the issuer sign by the algorithm that the verifiers pin.",
                "tokens issued from then on are accepted; do not widen the verifiers' list",
            ),
        ),
    )


@check
def algorithms(sample: SampleToken | None, instance: Instance) -> Iterator[Finding]:
    """Verifiers that let a token choose how it is verified, or refuse how it is signed.

    Compares the declared ``algorithms`` with each other and with the sample's (RFC 8725, 3.1).
    """
    readable = sample if sample and sample.readable else None
    accepted = instance.texts("algorithms")
    if not accepted and readable is None:
        raise nothing_to_judge("there is neither a readable sample nor a list of algorithms")
    found = []
    alg = readable.alg if readable else ""
    if why := tuple(_confusion(readable, accepted)):
        pinned = [name for name in accepted if name != "none" and name not in SHARED_SECRET]
        found.append(_confused(why, (pinned or ["HS256"])[0]))
    if accepted and readable and alg not in (*accepted, "none"):
        found.append(_not_accepted(alg, accepted, instance))
    yield from found
    if not found:
        notes = () if accepted else ("declare algorithms under token to have its alg compared",)
        said = f"accept only {', '.join(accepted)}" if accepted else "are not known here"
        yield Finding(
            status=Status.OK,
            summary=f"No algorithm is confused with another; what verifiers accept: they {said}.",
            notes=notes,
        )
