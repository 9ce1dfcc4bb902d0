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
from backend_doctor.backends.http.pool import families
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.through import held_through
from backend_doctor.backends.postgres.clients import ClientProcesses, holders_of
from backend_doctor.backends.postgres.remedies import look_at_sessions
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots

_MAY_STAND = (
    "requests without an answer may not have asked for a connection yet: an application that "
    "stands still, or waits for another service, looks so too, and its connections are free then; "
    "py-spy dump --pid PID shows where it stands; with a pool_timeout below 3 s the answers tell"
)


class _Pool(msgspec.Struct, frozen=True):
    """All of one application's sessions: idle, and unmoved from look to look."""

    sessions: Sequence[Session]

    @property
    def holders(self) -> list[str]:
        return list(dict.fromkeys(session.holder for session in self.sessions))

    @property
    def name(self) -> str:
        more = f" and {len(self.holders) - 3} more" if len(self.holders) > 3 else ""
        return ", ".join(self.holders[:3]) + more

    @property
    def youngest(self) -> float:
        return min(session.state_age or 0.0 for session in self.sessions)


def _unmoved(looks: Looks[Sessions], database: str, least: int, share: float) -> list[_Pool]:
    """The applications whose sessions nearly all stayed idle, ``least`` of them or more."""
    earlier = looks.first.by_pid()
    found = []
    for group in families(looks.last):
        group = [s for s in group if database in ("", s.database)]
        idle = [
            s
            for s in group
            if s.state == "idle" and s.pid in earlier and s.same_stay(earlier[s.pid])
        ]
        if len(idle) >= max(least, share * len(group)) and idle:
            found.append(_Pool(idle))
    return sorted(found, key=lambda pool: len(pool.sessions), reverse=True)


def _evidence(
    pool: _Pool,
    seconds: float,
    size: int,
    starved: Sequence[Sample],
    total: int,
    slots: Slots,
    processes: ClientProcesses | None,
) -> Iterator[Evidence]:
    count, errors = len(pool.sessions), named(sample.error for sample in starved)
    clients = holders_of(pool.sessions, processes)
    yield Evidence(
        key="sessions_checked_out",
        value=count,
        text=f"{count} sessions of {pool.name} are idle, and none was used between the looks, "
        f"{seconds:.1f} s apart, nor for {pool.youngest:.0f} s and more; from {clients}",
        source="pg_stat_activity.state_change",
    )
    yield Evidence(
        key="application",
        value=pool.sessions[0].holder,
        text=f"one process's pool has {size} connections"
        if size
        else f"{pool.name} has {count} sessions; the pool's size is not declared",
        source="body of the answers, configuration",
    )
    said = f"; they name {', '.join(errors)}: {meaning(errors[0])}" if errors else ""
    yield Evidence(
        key="named_error" if errors else "unanswered_requests",
        value=errors[0] if errors else len(starved),
        text=f"{len(starved)} of {total} requests {_got(starved)}{said}",
        source=f"GET {', '.join(dict.fromkeys(sample.path for sample in starved))}",
    )
    yield Evidence(
        key="free_slots",
        value=slots.usable - slots.used,
        text=f"{slots.text}: the server has room",
        source="pg_stat_activity",
    )


def _got(starved: Sequence[Sample]) -> str:
    """What became of the requests, as far as it is known."""
    sure = all(sample.error in POOL_TIMEOUTS for sample in starved)
    return "got no pooled connection" if sure else "waited in vain"


def _remedies(pool: _Pool) -> tuple[Remedy, ...]:
    return (
        Remedy(
            step=Step.STOP,
            command=f"restart one process of {pool.name} after the other",
            effect="gives the connections back at once; ending their sessions in the database "
            "does not: the pool counts them as taken until the code returns them",
            changes_state=True,
            language="text",
        ),
        look_at_sessions(pool.sessions, effect="shows the last statement before each was kept"),
        Remedy(
            step=Step.CURE,
            command="async with engine.connect() as connection:   # or: try ... finally: "
            "await connection.close()",
            effect=f"in {pool.name}, where these statements are: a context manager returns the "
            "connection on every path, also when the code raises or waits for something else",
            language="text",
        ),
        Remedy(
            step=Step.PREVENT,
            command="log.warning('pool: %s', engine.pool.status())   # every minute",
            effect="connections checked out while no request runs are the leak, seen early",
            language="text",
        ),
    )


@check
def idle_checked_out(
    looks: Looks[Sessions],
    slots: Slots,
    faces: Each[HealthAnswers],
    processes: ClientProcesses | None,
    clients: Each[Clients],
    servers: Each[Servers],
    service: Service,
    instance: Instance,
    *,
    unmoved_share: float = 0.8,
    unknown_pool: int = 3,
) -> Iterator[Finding]:
    """Requests find no free connection in the pool, while all its sessions idle in the database.

    The connections were taken and not given back. ``unmoved_share`` of an application's sessions,
    and one process's whole pool (``unknown_pool`` where its size is not known), must not have
    been used between the looks. Idle sessions alone may as well be free: that is no finding.
    """
    answers = [seen for seen in faces.values() if isinstance(seen, HealthAnswers)]
    samples = [sample for seen in answers for sample in seen.samples]
    starved = [sample for sample in samples if sample.starved]
    told = next((sample.pool for sample in starved if sample.pool), None)
    declared = fleet_of(service, instance).own_pool
    size = told[0] + max(0, told[1]) if told else declared
    pools = _unmoved(looks, instance.database, size or unknown_pool, unmoved_share)
    room = not slots.refused and slots.share < 0.95
    measures = (
        Measure(name="unmoved_idle_sessions", value=sum(len(pool.sessions) for pool in pools)),
        Measure(name="requests_without_connection", value=len(starved)),
    )
    if starved and pools and room:
        pool = pools[0]
        errors = named(sample.error for sample in starved)
        certain = bool(POOL_TIMEOUTS.intersection(errors)) and bool(size)
        yield Finding(
            status=Status.CRITICAL,
            summary=f"{len(starved)} of {len(samples)} requests {_got(starved)}, while "
            f"all {len(pool.sessions)} of {pool.name} idle in the database.",
            evidence=(
                *_evidence(pool, looks.seconds, size, starved, len(samples), slots, processes),
                *held_through(pool.sessions, clients, servers),
            ),
            cause=Cause(
                label="leak.idle_checked_out",
                confidence=Confidence.LIKELY if certain else Confidence.POSSIBLE,
                because="the pool has handed all its connections out and waits for them, but "
                "nobody uses one: code took them and did not give them back, or keeps them while "
                "it does something else",
            ),
            remedies=_remedies(pool),
            explains=SEEN_BY_CLIENTS,
            subjects=(
                *(Subject(kind="pid", value=str(s.pid)) for s in pool.sessions),
                *(Subject(kind="application", value=name) for name in pool.holders),
                *(Subject(kind="endpoint", value=path) for path in named(s.path for s in starved)),
                *(Subject(kind="error", value=name) for name in errors),
            ),
            measures=measures,
            notes=(_MAY_STAND,) if any(sample.unanswered for sample in starved) else (),
        )
        return
    full = [pool for pool in pools if declared and len(pool.sessions) >= declared]
    notes = [
        f"{len(pool.sessions)} sessions of {pool.name} all idle: cannot tell free from checked "
        "out; configure http, with a health path that uses the database"
        for pool in full
        if not answers
    ]
    what = f"{len(starved)} of {len(samples)} requests {_got(starved)}"
    seen = f"{what}; the idle sessions are not why" if starved else what
    yield Finding(
        status=Status.OK,
        summary=f"{seen}." if answers else "No idle session is known to be kept from the pool.",
        measures=measures,
        notes=tuple(notes),
    )
