from collections.abc import Iterator

from backend_doctor import (
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
from backend_doctor.backends.reachability import where_it_came_from
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.signing import SigningSecret
from backend_doctor.backends.token.weak import SHORTEST

_SOURCE = "sample token and declared secret, compared offline"
_LEAST_RSA = 2048
_WEAK = {
    "placeholder": "the declared secret is a placeholder from a tutorial or a template",
    "repeated": "the declared secret repeats a few characters",
    "service name": "the declared secret is the service's own name",
}
_NEW_SECRET = Remedy(
    step=Step.CURE,
    command="python3 -c 'import secrets; print(secrets.token_urlsafe(48))'",
    effect="prints a new secret; setting it as SECRET_KEY ends every session signed with the old",
    language="sh",
)
_FROM_STORE = Remedy(
    step=Step.PREVENT,
    command="Let the application refuse to start without a SECRET_KEY of 32 bytes or more.",
    effect="no template's value can reach production again",
    language="text",
)


def _unsigned() -> Finding:
    return Finding(
        status=Status.CRITICAL,
        summary="The sample token is not signed: its alg is none.",
        evidence=(
            Evidence(key="alg", value="none", text="the header says alg none", source=_SOURCE),
        ),
        cause=Cause(
            label="token.alg_none",
            confidence=Confidence.CERTAIN,
            because="anybody can write such a token with any user in it; where it is accepted, "
            "there is no login",
        ),
        remedies=(
            Remedy(
                step=Step.STOP,
                command='jwt.decode(token, key, algorithms=["HS256"])',
                effect="the verifier then refuses every token that is unsigned or signed otherwise",
                language="text",
            ),
            Remedy(
                step=Step.CURE,
                command='jwt.encode(payload, key, algorithm="HS256")',
                effect="the issuer signs what it issues",
                language="text",
            ),
        ),
    )


def _why_weak(sample: SampleToken | None, secret: SigningSecret | None) -> Iterator[Evidence]:
    if sample and sample.guessed:
        yield Evidence(
            key="guessed",
            value=True,
            text="the sample's signature was made with a placeholder that everybody knows",
            source=_SOURCE,
        )
    if secret and secret.weakness:
        text = _WEAK[secret.weakness]
        yield Evidence(key="weakness", value=secret.weakness, text=text, source=_SOURCE)


def _weak(evidence: tuple[Evidence, ...], status: Status, summary: str) -> Finding:
    guessed = status is Status.CRITICAL
    return Finding(
        status=status,
        summary=summary,
        evidence=evidence,
        cause=Cause(
            label="token.weak_secret",
            confidence=Confidence.CERTAIN,
            because="one token is enough to try secrets offline; who finds it can log in as anyone",
        ),
        remedies=(_NEW_SECRET, _FROM_STORE),
        subjects=(Subject(kind="login", value="by a guessable secret"),) if guessed else (),
    )


def _short(alg: str) -> Finding:
    least = SHORTEST[alg]
    evidence = Evidence(
        key="shorter_than_bytes",
        value=least,
        text=f"{alg} asks for {least} bytes or more (RFC 7518, 3.2)",
        source=_SOURCE,
    )
    summary = f"The declared secret is shorter than the {least} bytes that {alg} asks for."
    return _weak((evidence,), Status.WARNING, summary)


def _short_rsa(bits: int) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"The declared RSA key has {bits} bits, fewer than the {_LEAST_RSA} of RFC 7518.",
        evidence=(
            Evidence(key="rsa_bits", value=bits, text=f"a modulus of {bits} bits", source=_SOURCE),
        ),
        cause=Cause(
            label="token.weak_key",
            confidence=Confidence.CERTAIN,
            because="shorter keys can be factored, and some libraries refuse them",
        ),
        remedies=(
            Remedy(
                step=Step.CURE,
                command="openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 "
                "-out signing.pem",
                effect="makes a new key in a file; give verifiers its public part first",
                language="sh",
            ),
        ),
    )


def _another_key(sample: SampleToken, instance: Instance) -> Finding:
    return Finding(
        status=Status.CRITICAL,
        summary="The sample token was not signed with the declared secret or key.",
        evidence=(
            Evidence(
                key="signature",
                value="wrong",
                text=f"the {sample.alg} signature does not fit the declared secret or keys",
                source=_SOURCE,
            ),
        ),
        cause=Cause(
            label="token.wrong_key",
            confidence=Confidence.LIKELY,
            because="issuer and verifier do not use the same key: another environment's, one that "
            "was changed, or the sample is from before the change",
        ),
        remedies=(
            where_it_came_from(
                instance, effect="shows where the secret came from, without showing it"
            ),
            Remedy(
                step=Step.CURE,
                command="Give all instances the same SECRET_KEY; restart those that had another.",
                effect="users whose tokens were signed with the other key log in once more",
                changes_state=True,
                language="text",
            ),
        ),
    )


@check
def signature(
    sample: SampleToken | None, secret: SigningSecret | None, instance: Instance
) -> Iterator[Finding]:
    """Tokens that anybody could sign: no signature, a secret that is guessed, or the wrong key."""
    readable = sample if sample and sample.readable else None
    if readable is None and secret is None:
        raise nothing_to_judge("there is neither a readable sample nor a declared secret")
    found = False
    if readable and readable.alg == "none":
        found = True
        yield _unsigned()
    alg = readable.alg if readable else "HS256"
    why = tuple(_why_weak(readable, secret))
    if why:
        found = True
        yield _weak(why, Status.CRITICAL, "The secret that signs tokens can be guessed.")
    elif secret and secret.kind == "shared" and alg in set(SHORTEST) - set(secret.long_enough):
        found = True
        yield _short(alg)
    if secret and 0 < secret.rsa_bits < _LEAST_RSA:
        found = True
        yield _short_rsa(secret.rsa_bits)
    if readable and readable.signature == "wrong":
        found = True
        yield _another_key(readable, instance)
    if not found:
        yield Finding(status=Status.OK, summary=_sound(readable, secret, instance))


def _sound(sample: SampleToken | None, secret: SigningSecret | None, instance: Instance) -> str:
    if sample and sample.signature == "verified":
        return f"The sample's {sample.alg} signature fits what is declared; no known secret does."
    if sample:
        return f"The sample is signed by {sample.alg}; its signature was not verified."
    kind = secret.kind if secret else "shared"
    return f"The {kind} key or secret of {instance.service} is none that is easily guessed."
