from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import ceil
from statistics import median

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Looks,
    Measure,
    Service,
    Status,
    Subject,
    check,
    fleet_of,
)
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.http.errors import POSTGRES_POOL_ERRORS, named
from backend_doctor.backends.http.pool import Crowd, crowds
from backend_doctor.backends.http.remedies import enlarge_pool
from backend_doctor.backends.http.standstill import pool_wait, standstills
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.sizing import Work, work_within
from backend_doctor.backends.postgres.slots import Slots


class _Pool(msgspec.Struct, frozen=True):
    """One process's pool, and how many connections all processes may hold by it."""

    size: int
    overflow: int
    most: int
    source: str


def _pool(service: Service, database: str, samples: Sequence[Sample]) -> _Pool | None:
    """As the error message tells it, else as it is declared."""
    told = next((sample.pool for sample in samples if sample.pool), None)
    if told is not None:
        size, overflow = told[0], max(0, told[1])
        return _Pool(size, overflow, size + overflow, "body of the answers")
    for instance in service.instances:
        if (instance.backend, instance.name) == ("postgres", database):
            size = instance.number("pool_size") or 0
            most = fleet_of(service, instance).own
            overflow = max(0, instance.number("max_overflow") or 0)
            return _Pool(size, overflow, most, "configuration") if size else None
    return None


def _standing(
    service: Service, name: str, looks: Looks[Sessions], pool: _Pool, samples: Sequence[Sample]
) -> set[str]:
    """Applications whose requests hold the whole pool and wait for more of it."""
    wait = pool_wait(samples)
    if wait is None:
        return set()
    place = next((one for one in service.instances if one.name == name), None)
    size = max(2, pool.size + pool.overflow)
    found = standstills(looks, place.database if place else "", size, wait)
    return {holder for one in found for holder in one.holders}


def _work(service: Service, database: str, counts: object, looks: Looks[Sessions]) -> Work | None:
    """What the connections to that database did within the window."""
    place = next((one for one in service.instances if one.name == database), None)
    if not isinstance(counts, Looks):
        return None
    return work_within(counts, looks, place.database if place else "")


def _starved(samples: Sequence[Sample], crowd: Crowd, wait: float) -> list[Sample]:
    """Requests that say that they got no connection; else those of paths where most requests
    waited much longer than any statement takes."""
    by_name = [sample for sample in samples if sample.error in POSTGRES_POOL_ERRORS]
    if by_name:
        return by_name
    least = max(wait, 3 * crowd.longest)
    paths: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        paths[sample.path].append(sample)
    return [
        one
        for group in paths.values()
        if 2 * sum(sample.seconds >= least for sample in group) >= len(group)
        for one in group
        if one.seconds >= least
    ]


def _evidence(
    starved: Sequence[Sample], total: int, crowd: Crowd, slots: Slots, pool: _Pool
) -> Iterator[Evidence]:
    failed = sum(sample.failed for sample in starved)
    errors = named(sample.error for sample in starved)
    yield Evidence(
        key="starved_requests",
        value=len(starved),
        text=f"{len(starved)} of {total} requests waited {median(s.seconds for s in starved):.2f} s"
        f" (median), {failed} of them failed"
        + (f" and name {', '.join(errors)}" if errors else ""),
        source=f"GET {', '.join(dict.fromkeys(sample.path for sample in starved))}",
    )
    yield Evidence(
        key="pool_connections",
        value=pool.most,
        text=f"the pool has {pool.size} connections and {pool.overflow} to overflow"
        + (f", {pool.most} over all processes" if pool.most != pool.size + pool.overflow else ""),
        source=pool.source,
    )
    yield Evidence(
        key="sessions_of_application",
        value=crowd.after,
        text=crowd.text,
        source="pg_stat_activity in both looks",
    )
    yield Evidence(
        key="free_slots",
        value=slots.usable - slots.used,
        text=f"{slots.text}: the server has room",
        source="pg_stat_activity",
    )


def _judge(
    samples: Sequence[Sample],
    looks: Looks[Sessions],
    slots: Slots,
    pool: _Pool,
    standing: set[str],
    work: Work | None,
    wait: float,
    slow: float,
) -> Finding | None:
    # other applications may hold as many sessions as this pool; the one at work is this one
    least = ceil(0.8 * pool.most)
    fitting = [
        crowd
        for crowd in crowds(looks)
        if least <= min(crowd.before, crowd.after) <= crowd.after <= pool.most
    ]
    crowd = max(fitting, key=lambda crowd: crowd.busy, default=None)
    if crowd is None or standing.intersection(crowd.holders):
        return None
    if slots.refused or slots.share >= 0.95:
        return None
    if not (crowd.turns_over and crowd.longest < slow):
        return None
    starved = _starved(samples, crowd, wait)
    names = [sample for sample in starved if sample.error in POSTGRES_POOL_ERRORS]
    # slow answers may be anything; that most wait while the whole pool works is no accident
    if not starved or (not names and crowd.busy < 0.6):
        return None
    failed = [sample for sample in starved if sample.failed]
    return Finding(
        status=Status.CRITICAL if failed else Status.WARNING,
        summary=f"{len(starved)} of {len(samples)} requests waited for one of "
        f"{pool.most} pooled connections, {len(failed)} in vain; the database has "
        f"{slots.usable - slots.used} slots free.",
        evidence=tuple(_evidence(starved, len(samples), crowd, slots, pool)),
        cause=Cause(
            label="pool.undersized",
            confidence=Confidence.LIKELY if names else Confidence.POSSIBLE,
            because="every connection of the pool is at work and handed on at once, none leaks and "
            "no statement is slow: there are more requests than connections",
        ),
        remedies=enlarge_pool(
            pool.size,
            pool.overflow,
            slots.usable - slots.used,
            needed=ceil(work.needed * (pool.size + pool.overflow) / pool.most) if work else 0,
            figures=work.text if work else "",
        ),
        explains=("http.server_error", "http.slow", "cors.error_masks_5xx"),
        subjects=tuple(
            Subject(kind=kind, value=value)
            for kind, values in (
                ("endpoint", [sample.path for sample in starved]),
                ("error", named(sample.error for sample in starved)),
                ("application", crowd.holders),
            )
            for value in dict.fromkeys(values)
        ),
    )


def _quiet(samples: Sequence[Sample], databases: Each[Looks[Sessions]], wait: float) -> Finding:
    """What to say when the cause is not to be named: blind is not fine."""
    if not databases:
        return Finding(status=Status.SKIPPED, summary="The service has no PostgreSQL.")
    named_ones = sum(sample.error in POSTGRES_POOL_ERRORS for sample in samples)
    seen = [looks for looks in databases.values() if isinstance(looks, Looks)]
    if not seen and (named_ones or any(sample.seconds >= wait for sample in samples)):
        return Finding(
            status=Status.UNKNOWN,
            summary=f"Requests wait ({named_ones} name a pool's timeout), but the sessions of the "
            "database could not be seen twice.",
        )
    measure = Measure(name="pool_timeouts", value=named_ones)
    summary = f"{named_ones} of {len(samples)} requests name a pool's timeout"
    shown = "; the pool is not what is too small" if named_ones else ""
    return Finding(status=Status.OK, summary=f"{summary}{shown}.", measures=(measure,))


@check
def pool_undersized(
    health: Looks[HealthAnswers] | None,
    clients: Each[Preflights],
    databases: Each[Looks[Sessions]],
    rooms: Each[Slots],
    counts: Each[Looks[Counters]],
    service: Service,
    *,
    wait_seconds: float = 0.2,
    slow_seconds: float = 1.0,
) -> Iterator[Finding]:
    """Requests wait for a pooled connection although the database has room and is quick.

    A request waits when its answer names a pool's timeout, or when it takes ``wait_seconds`` and
    three times the longest statement. Statements of ``slow_seconds``, sessions that are stuck and
    locks that are waited for are causes of their own.
    """
    samples = [*health.first.samples, *health.last.samples] if health else []
    for seen in clients.values():
        if isinstance(seen, Preflights):
            samples.extend(sample for one in seen.exchanges for sample in one.samples)
    found = False
    for name, looks in databases.items():
        slots, pool = rooms.get(name), _pool(service, name, samples)
        if isinstance(looks, Looks) and isinstance(slots, Slots) and pool is not None:
            work = _work(service, name, counts.get(name), looks)
            standing = _standing(service, name, looks, pool, samples)
            finding = _judge(
                samples, looks, slots, pool, standing, work, wait_seconds, slow_seconds
            )
            if finding is not None:
                found = True
                yield finding
    if not found:
        yield _quiet(samples, databases, wait_seconds)
