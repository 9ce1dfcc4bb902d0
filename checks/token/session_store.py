import math
from collections.abc import Iterator
from shlex import quote

import msgspec

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Instance,
    Looks,
    Measure,
    Remedy,
    Service,
    Status,
    Step,
    check,
)
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.redis.remedies import redis_cli
from backend_doctor.backends.redis.session_keys import SessionKeys
from backend_doctor.backends.token.clocks import Clocks
from backend_doctor.backends.token.grants import Grants
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.times import span, unit_of
from backend_doctor.backends.token.words import advice


class _Life(msgspec.Struct, frozen=True):
    """Seconds that a token has yet to live, of those that it lives in all."""

    left: float
    whole: float


def _life(sample: SampleToken | None, clocks: Clocks | None, grants: Grants | None) -> _Life | None:
    """Of the token of a login just made, else of the sample."""
    if grants and grants.lives is not None:
        return _Life(grants.lives, grants.lives)
    if sample is None or not sample.readable or sample.refresh:
        return None
    exp = sample.exp.seconds
    if exp is None or unit_of(exp, sample.observed):
        return None
    now = sample.observed + (clocks.correction if clocks else 0.0)
    issued = sample.iat.seconds
    return _Life(exp - now, exp - (now if issued is None else issued))


def _keys_evidence(keys: SessionKeys) -> Evidence:
    looked = "all keys of the database" if keys.complete else "a part of the database's keys"
    return Evidence(
        key="session_keys",
        value=keys.matched,
        text=f"{keys.matched} keys match session_keys, of {looked}; {keys.endless} of "
        f"{keys.timed + keys.endless} asked have no time to live",
        source="SCAN, PTTL",
    )


def _longest_key(redis: Instance, pattern: str) -> Remedy:
    cli = redis_cli(redis) + (f" -n {redis.database}" if redis.database else "")
    return Remedy(
        step=Step.CONFIRM,
        command=f"{cli} --scan --pattern {quote(pattern)} | head -n 200 |\n"
        f'  while read -r key; do {cli} PTTL "$key" </dev/null; done | sort -n | tail -n 1',
        effect="right after a login: the longest time to live among 200 sessions, in "
        "milliseconds; where a login is needed, export REDISCLI_AUTH and add --user (and --tls)",
        language="sh",
    )


def _too_short(keys: SessionKeys, left: float, status: Status, confirm: Remedy) -> Finding:
    longest = keys.bound
    return Finding(
        status=status,
        summary=f"Of {keys.timed} session keys none lasts longer than {span(longest)}, but a token "
        f"is valid for another {span(left)}: users are logged out before it ends.",
        evidence=(
            Evidence(
                key="longest_session_ttl",
                value=longest,
                text=f"session keys last {span(longest)} more at most, half of them at most "
                f"{span(keys.median or 0.0)}",
                source="PTTL",
            ),
            Evidence(
                key="token_seconds_left",
                value=left,
                text=f"the token has {span(left)} left",
                source="exp of the token",
            ),
            _keys_evidence(keys),
        ),
        cause=Cause(
            label="token.session_store_expiry",
            confidence=Confidence.LIKELY if status is Status.CRITICAL else Confidence.POSSIBLE,
            because="the session's key ends before the token does, and a request whose session is "
            "gone is refused although its token is valid; only what is left of each key can be "
            "seen, so this tells at most how long sessions are kept, from the newest ones",
        ),
        remedies=(
            confirm,
            advice(
                'await redis.set(key, session, ex=int(claims["exp"] - time.time()))',
                "sessions that are made from now on end with their token, and a logout still "
                "deletes them; where the shorter time is meant, shorten the token instead",
            ),
            advice(
                "Compute both lifetimes from one setting, and test that they are equal.",
                "neither can be changed alone",
                Step.PREVENT,
            ),
        ),
        measures=(_measure(longest),),
    )


def _evicted(keys: SessionKeys, server: Looks[ClientLimits], gone: int) -> Finding:
    policy, seconds = server.last.eviction_policy, server.seconds
    return Finding(
        status=Status.WARNING,
        summary=f"Redis threw away {gone} keys in {seconds:.1f} s for want of memory, and session "
        "keys are among those that it may choose: users are logged out at random.",
        evidence=(
            Evidence(
                key="evicted_keys",
                value=gone,
                text=f"{gone} keys evicted in {seconds:.1f} s",
                source="INFO evicted_keys",
            ),
            Evidence(
                key="eviction_policy",
                value=policy,
                text=f"maxmemory-policy is {policy}",
                source="INFO maxmemory_policy",
            ),
            _keys_evidence(keys),
        ),
        cause=Cause(
            label="token.session_store_expiry",
            confidence=Confidence.LIKELY,
            because=f"memory is full, and {policy} frees it of keys that may be sessions: a "
            "request whose session is gone is refused although its token is valid; which keys "
            "went cannot be seen",
        ),
        remedies=(
            Remedy(
                step=Step.CONFIRM,
                command="INFO memory",
                effect="shows used_memory against maxmemory",
                language="redis",
            ),
            advice(
                "Move the sessions to a Redis of their own, with maxmemory-policy noeviction and "
                "room for all of them.",
                "what is cached may be lost, sessions may not; users log in once more at the move, "
                "and a full noeviction server refuses writes, so watch its memory",
            ),
            advice(
                "Give cached values a time to live, and bound how much is cached.",
                "memory is not filled by what nobody reads again",
                Step.PREVENT,
            ),
        ),
    )


def _measure(longest: float) -> Measure:
    return Measure(name="session_longest_ttl_seconds", value=longest, unit="s")


def _kept(keys: SessionKeys) -> str:
    if math.isinf(keys.bound):
        return "Most session keys have no time to live"
    return f"Session keys last {span(keys.bound)} more at most"


def _unsure(keys: SessionKeys, life: _Life | None, fewest: int) -> str:
    """Why a time to live that is not long enough is not called too short."""
    if life is None:
        return "no token is at hand to hold that against: declare a fresh sample, or use --login"
    if keys.timed < fewest:
        return f"{keys.timed} keys are too few to tell how long sessions are kept"
    return (
        f"a token lives for {span(life.whole)}, but the sample is too old to tell whether newer "
        "sessions last as long: declare a fresh one"
    )


def _calm(keys: SessionKeys, life: _Life | None, unsure: str, looked: bool) -> Finding:
    token = "" if life is None else f"; a token lives for {span(life.whole)}"
    return Finding(
        status=Status.UNKNOWN if unsure else Status.OK,
        summary=f"{_kept(keys)}; {unsure}." if unsure else f"{_kept(keys)}{token}.",
        evidence=(_keys_evidence(keys),),
        measures=() if keys.longest is None else (_measure(keys.longest),),
        notes=() if looked else ("Evictions could not be looked for.",),
    )


def _evictions(keys: SessionKeys, server: Looks[ClientLimits] | None) -> int:
    """Keys evicted between the looks under a policy that may choose session keys."""
    policy = server.last.eviction_policy if server else ""
    chosen = policy.startswith("allkeys-") or (policy.startswith("volatile-") and keys.timed > 0)
    return server.last.evicted - server.first.evicted if server and chosen else 0


def _holding(stores: Each[SessionKeys]) -> dict[str, SessionKeys]:
    """The stores that hold sessions. Raises Absent where none does, or none can be read."""
    holding: dict[str, SessionKeys] = {}
    for name, found in stores.items():
        if isinstance(found, SessionKeys) and found.matched:
            holding[name] = found
    if holding:
        return holding
    for found in stores.values():
        if not isinstance(found, SessionKeys):
            raise Absent(f"session keys: {found.reason}", remedy=found.remedy)
    if not stores:
        raise Absent("the service's redis was not examined; examine the whole service")
    raise Absent(
        "no key that matches session_keys was seen: nobody is logged in, or the pattern or the "
        "database is another"
    )


@check
def session_store(
    instance: Instance,
    service: Service,
    sample: SampleToken | None,
    clocks: Clocks | None,
    grants: Grants | None,
    stores: Each[SessionKeys],
    servers: Each[Looks[ClientLimits]],
    *,
    fewest_keys: int = 20,
    share_warning: float = 0.9,
    share_critical: float = 0.5,
) -> Iterator[Finding]:
    """Sessions in Redis end, or are evicted, before the token that they belong to.

    The longest remaining time of at least ``fewest_keys`` session keys is held against what a
    token has yet to live: that token's own session must last as long. Less than ``share_warning``
    of it is a warning, than ``share_critical`` critical. Fewer keys tell nothing of how long
    sessions are kept.
    """
    pattern = instance.settings.get("session_keys")
    if not isinstance(pattern, str):
        raise nothing_to_judge("no session_keys are declared")
    life = _life(sample, clocks, grants)
    places = {one.name: one for one in service.instances if one.backend == "redis"}
    for name, keys in _holding(stores).items():
        looked = servers.get(name)
        server = looked if isinstance(looked, Looks) else None
        gone = _evictions(keys, server)
        if server and gone > 0:
            yield _evicted(keys, server, gone)
        many = keys.timed >= fewest_keys
        if life and many and keys.bound < share_warning * life.left:
            status = Status.CRITICAL if keys.bound < share_critical * life.left else Status.WARNING
            yield _too_short(keys, life.left, status, _longest_key(places[name], pattern))
        elif gone <= 0:
            enough = keys.bound >= share_warning * (life.whole if life else math.inf)
            unsure = "" if enough else _unsure(keys, life, fewest_keys)
            yield _calm(keys, life, unsure, server is not None)
