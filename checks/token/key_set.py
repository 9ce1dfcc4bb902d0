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
    check,
)
from backend_doctor.backends.token.keyset import KeySet
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.backends.token.times import leeway_of, span
from backend_doctor.backends.token.words import advice, ask_the_issuer

_DAY = 86_400


def _finding(
    status: Status, summary: str, key: str, value: str | int, cause: Cause, *remedies: Remedy
) -> Finding:
    found = Evidence(key=key, value=value, text=summary, source="key set")
    return Finding(
        status=status, summary=f"{summary}.", evidence=(found,), cause=cause, remedies=remedies
    )


def _malformed(keys: KeySet) -> Finding:
    return _finding(
        Status.CRITICAL,
        f"The key set cannot be used: {keys.problem}",
        "problem",
        keys.problem,
        Cause(
            label="token.jwks_malformed",
            confidence=Confidence.CERTAIN,
            because="verifiers that load it have no key, and refuse every token",
        ),
        advice(
            f'jwt.PyJWKClient("{keys.url}").get_jwk_set()'
            if keys.url
            else 'jwt.PyJWKSet.from_json(open("jwks.json").read())',
            "shows what a library says of it",
            Step.CONFIRM,
        ),
    )


def _unreachable(keys: KeySet) -> Finding:
    return _finding(
        Status.CRITICAL,
        f"The key set cannot be fetched: {keys.unreachable}",
        "problem",
        keys.unreachable,
        Cause(
            label="token.jwks_unreachable",
            confidence=Confidence.LIKELY,
            because="verifiers that start, or whose copy is over, get no key and refuse every "
            "token, unless they reach it by another way than this machine",
        ),
        ask_the_issuer(keys.url),
        advice(
            "Let verifiers go on with the last good copy while a fetch fails.",
            "an outage of the issuer then logs nobody out",
            Step.PREVENT,
        ),
    )


def _stale(keys: KeySet) -> Finding:
    return _finding(
        Status.CRITICAL,
        f"The sample names a key that is not in the key set; number of keys there: {keys.keys}",
        "keys",
        keys.keys,
        Cause(
            label="token.jwks_stale",
            confidence=Confidence.LIKELY,
            because="the issuer signs with a newer key than the verifier's copy of the set knows, "
            "or the sample is older than the set",
        ),
        advice(
            "Compare the kid of a fresh token with those that the issuer publishes.",
            "tells an old copy from an old sample",
            Step.CONFIRM,
        ),
        advice(
            "Fetch the set anew, and whenever a token names an unknown kid (at most once a "
            "minute).",
            "a rotated key is known at once, and hostile tokens cause no storm of requests",
        ),
    )


def _private(keys: KeySet) -> Finding:
    number = keys.private + keys.shared
    return _finding(
        Status.WARNING,
        f"{number} of {keys.keys} keys in the key set hold secret parts",
        "secret_keys",
        number,
        Cause(
            label="token.jwks_private",
            confidence=Confidence.LIKELY,
            because="a key set is made to be published; who has these parts can sign as the issuer",
        ),
        advice(
            "Publish the public parts only (RSA: n, e; EC: x, y); change keys that were public.",
            "tokens signed with a changed key end; users log in once more",
            Step.STOP,
        ),
    )


def _ambiguous(keys: KeySet) -> Finding:
    number = keys.unnamed + keys.repeated
    return _finding(
        Status.WARNING,
        f"{number} of {keys.keys} keys in the key set have no kid of their own",
        "keys_without_own_kid",
        number,
        Cause(
            label="token.jwks_ambiguous",
            confidence=Confidence.CERTAIN,
            because="a verifier cannot tell which key a token means: it tries the first, or none",
        ),
        advice("Give each key a kid of its own, such as its thumbprint (RFC 7638).", "no guessing"),
    )


def _short(bits: int) -> Finding:
    return _finding(
        Status.WARNING,
        f"An RSA key in the key set has only {bits} bits",
        "rsa_bits",
        bits,
        Cause(
            label="token.weak_key",
            confidence=Confidence.CERTAIN,
            because="RFC 7518 asks for 2048 bits or more; shorter keys can be factored, and some "
            "libraries refuse them",
        ),
        advice(
            "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out signing.pem",
            "makes a new key; publish its public part before it signs",
        ),
    )


def _over(sample: SampleToken | None, leeway: int) -> bool:
    exp = sample.exp.seconds if sample else None
    return sample is not None and exp is not None and sample.observed > exp + leeway


def _notes(keys: KeySet, over: bool) -> Iterator[str]:
    if keys.keys == 1:
        yield "it holds one key: publish the next one before it signs"
    if keys.knows_sample == "no" and over:
        yield "the sample is over, so it says nothing that its key is not there any more"
    if keys.cache_seconds == 0:
        yield "it may not be cached: verifiers that obey fetch it for each token"
    if keys.cache_seconds and keys.cache_seconds > _DAY:
        yield f"it may be kept for {span(keys.cache_seconds)}: a changed key is known that late"


@check
def key_set(
    keys: KeySet, sample: SampleToken | None, instance: Instance, *, shortest_rsa: int = 2048
) -> Iterator[Finding]:
    """A key set that verifiers cannot use, that is out of date, or that gives secrets away.

    ``shortest_rsa`` in bits, as RFC 7518, 3.3 asks.
    """
    if keys.unreachable:
        yield _unreachable(keys)
        return
    if keys.problem:
        yield _malformed(keys)
        return
    found = []
    over = _over(sample, leeway_of(instance))
    if keys.knows_sample == "no" and not over:
        found.append(_stale(keys))
    if keys.private or keys.shared:
        found.append(_private(keys))
    if keys.repeated or (keys.unnamed and keys.keys > 1):
        found.append(_ambiguous(keys))
    if 0 < keys.rsa_bits < shortest_rsa:
        found.append(_short(keys.rsa_bits))
    yield from found
    if not found:
        yield Finding(
            status=Status.OK,
            summary=f"The key set can be used; number of keys: {keys.keys}.",
            notes=tuple(_notes(keys, over)),
        )
