from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor import (
    SEEN_BY_CLIENTS,
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
    Subject,
    check,
    fleet_of,
)
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.http.errors import POOL_TIMEOUTS, meaning, named
from backend_doctor.backends.http.standstill import (
    LONGEST_WAIT,
    Standstill,
    pool_wait,
    standstills,
)
from backend_doctor.backends.postgres.remedies import look_at_sessions
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots

# with their sessions shared: what one look, or one kind of fact, makes of such a pool
_EXPLAINS = (
    "leak.idle_in_transaction",
    "leak.idle_checked_out",
    "tx.external_call_held",
    "tx.long_running",
    "lock.idle_holder",
    "pool.server_full",
    *SEEN_BY_CLIENTS,
)


def _name(pool: Standstill) -> str:
    more = f" and {len(pool.holders) - 3} more" if len(pool.holders) > 3 else ""
    return ", ".join(pool.holders[:3]) + more


def _evidence(
    pool: Standstill, starved: Sequence[Sample], total: int, size: int, wait: float, slots: Slots
) -> Iterator[Evidence]:
    first, count = pool.sessions[0], len(pool.sessions)
    errors = named(sample.error for sample in starved)
    yield Evidence(
        key="standing_sessions",
        value=count,
        text=f"{count} sessions of {_name(pool)} are {first.state} since one moment, "
        f"{pool.oldest:.2f} s ago; none of them works or waits for a lock; one process's pool has "
        f"{size} connections",
        source="pg_stat_activity.state_change",
    )
    yield Evidence(
        key="application",
        value=first.holder,
        text=f"before they stood still they ran: {' '.join(first.query.split()) or '(nothing)'}",
        source="pg_stat_activity.query",
    )
    yield Evidence(
        key="pool_wait_seconds",
        value=round(wait, 2),
        text=f"a request waits for a connection for {wait:.2f} s at most, and no session stands "
        "for longer"
        + ("; all had moved between the looks, and stand again" if pool.replaced else ""),
        source="body of the answers, pg_stat_activity in both looks",
    )
    yield Evidence(
        key="named_error",
        value=errors[0],
        text=f"{len(starved)} of {total} requests name {', '.join(errors)}: {meaning(errors[0])}",
        source=f"GET {', '.join(dict.fromkeys(sample.path for sample in starved))}",
    )
    yield Evidence(
        key="free_slots",
        value=slots.usable - slots.used,
        text=f"{slots.text}: the server has room",
        source="pg_stat_activity",
    )


def _remedies(pool: Standstill) -> tuple[Remedy, ...]:
    return (
        Remedy(
            step=Step.CONFIRM,
            command="py-spy dump --pid PID   # one process of the application; or log "
            "engine.pool.checkedout()",
            effect=f"in {_name(pool)}: most requests stand in the pool's checkout, beneath code "
            "that has a session already; checkedout() equals the pool's size and no statement runs",
        ),
        look_at_sessions(
            pool.sessions,
            effect="run it a few times: all change state together, once in each pool_timeout",
        ),
        Remedy(
            step=Step.CURE,
            command="async with sessions() as session:\n"
            "    await helper(session, ...)   # the same session; helper opens none of its own",
            effect=f"in {_name(pool)}, after the statement above: one connection for each request; "
            "pass the session on, or end it before the next is taken",
            language="text",
        ),
        Remedy(
            step=Step.PREVENT,
            command="create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)   "
            "# in the tests only",
            effect="a second connection within one request then fails its test at once",
            language="text",
        ),
    )


def _finding(
    pool: Standstill, samples: Sequence[Sample], size: int, wait: float, slots: Slots
) -> Finding:
    starved = [sample for sample in samples if sample.error in POOL_TIMEOUTS]
    subjects = (
        *(("pid", str(s.pid)) for s in (*pool.sessions, *pool.others)),
        *(("application", name) for name in pool.holders),
        *(("endpoint", sample.path) for sample in starved),
        *(("error", sample.error) for sample in starved),
    )
    how = "they are let go together when it is over" if pool.replaced else "none is older than it"
    return Finding(
        status=Status.CRITICAL,
        summary=f"{len(pool.sessions)} connections of {_name(pool)} stand idle in its "
        f"requests, while {len(starved)} of {len(samples)} requests wait {wait:.1f} s in vain for "
        "one.",
        evidence=tuple(_evidence(pool, starved, len(samples), size, wait, slots)),
        cause=Cause(
            label="pool.nested_acquire_deadlock",
            confidence=Confidence.LIKELY,
            because="requests that hold one connection of the pool wait for a second one, which "
            "only others of their kind could give back; the wait ends by the pool's timeout alone: "
            + how,
        ),
        remedies=_remedies(pool),
        explains=_EXPLAINS,
        subjects=tuple(Subject(kind=kind, value=value) for kind, value in dict.fromkeys(subjects)),
        notes=(
            "a pool of N stands still with N requests at once, so its size is no cure; a longer "
            "pool_timeout only makes each standstill longer",
        ),
    )


def _quiet(samples: Sequence[Sample], looks: Looks[Sessions], database: str, size: int) -> Finding:
    """What to say when the answers do not name a pool's timeout, or the sessions do not stand."""
    named_ones = sum(sample.error in POOL_TIMEOUTS for sample in samples)
    hangs = sum(sample.starved for sample in samples) - named_ones
    seen = standstills(looks, database, size, LONGEST_WAIT) if hangs else []
    return Finding(
        status=Status.OK,
        summary=f"{named_ones} of {len(samples)} requests name a pool's timeout"
        + ("; its connections are not held by requests that wait for it." if named_ones else "."),
        notes=tuple(
            f"{hangs} requests got no answer, and all {len(pool.sessions)} sessions of "
            f"{_name(pool)} idle since one moment: they may wait for a second connection; with a "
            "pool_timeout below 3 s the answers would tell"
            for pool in seen[:1]
        ),
    )


@check
def nested_acquire(
    looks: Looks[Sessions],
    slots: Slots,
    faces: Each[Looks[HealthAnswers]],
    service: Service,
    instance: Instance,
    *,
    unknown_pool: int = 3,
) -> Iterator[Finding]:
    """Requests that hold a pooled connection wait for another, until the pool's timeout.

    Answers must name a pool's timeout, while all sessions of an application idle since one
    moment, after one statement, one process's whole pool or more (``unknown_pool`` where its size
    is not known), for no longer than that timeout; in both looks.
    """
    answers = [seen for seen in faces.values() if isinstance(seen, Looks)]
    samples = [one for seen in answers for look in (seen.first, seen.last) for one in look.samples]
    wait = pool_wait(samples)
    told = next((sample.pool for sample in samples if sample.pool), None)
    declared = fleet_of(service, instance).own_pool
    # one session alone stands together with itself
    size = max(2, told[0] + max(0, told[1]) if told else declared or unknown_pool)
    room = not slots.refused and slots.share < 0.95
    found = standstills(looks, instance.database, size, wait) if wait is not None and room else []
    measure = Measure(name="standing_sessions", value=sum(len(one.sessions) for one in found))
    if found and wait is not None:
        finding = _finding(found[0], samples, size, wait, slots)
    else:
        finding = _quiet(samples, looks, instance.database, size)
    yield msgspec.structs.replace(finding, measures=(measure,))
