from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from backend_doctor import (
    SEEN_BY_CLIENTS,
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Fleet,
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
from backend_doctor.backends.http.answers import HealthAnswers
from backend_doctor.backends.http.standstill import LONGEST_WAIT, began_together
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.through import held_through
from backend_doctor.backends.postgres.clients import ClientProcess, ClientProcesses
from backend_doctor.backends.postgres.remedies import (
    end_sessions,
    limit_idle_transactions,
    look_at_sessions,
)
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.transactions import (
    MAY_BE_CALLS,
    family,
    held_while_turning,
    is_backup,
    may_be_calls,
)

_EXPLAINS = (
    "pool.server_full",
    "pool.blocked_sessions",
    "lock.idle_holder",
    "lock.ddl_queue",
    "lock.hot_row",
    "lock.advisory",
    "reach.full",
    "tx.long_running",
    "bloat.vacuum_blocked_by_xmin",
    *SEEN_BY_CLIENTS,
)
_MAY_WAIT = (
    "all of them began to idle at one moment, less than a pool's usual wait ago: requests that "
    "wait for a second connection look so too (runbook postgres.nested_acquire); look again with "
    "--window 35: what is leaked is still there then"
)


def _stuck(sessions: Looks[Sessions], idle_seconds: float) -> list[list[Session]]:
    """Sessions that idled in one transaction from look to look, by application and role."""
    before = sessions.first.by_pid()
    # one that waits for something outside the database is slow, not forgotten
    turning = {s.pid for group in held_while_turning(sessions) for s in group.stayed}
    groups: dict[tuple[str, str], list[Session]] = defaultdict(list)
    for session in sessions.last.clients:
        earlier = before.get(session.pid)
        age = sessions.seconds if session.state_age is None else session.state_age
        if (
            session.idle_in_transaction
            and age >= idle_seconds
            and earlier is not None
            and session.same_stay(earlier)
            and not is_backup(session.application)
            and session.pid not in turning
        ):
            groups[family(session), session.user].append(session)
    return sorted(groups.values(), key=len, reverse=True)


def _holders(group: Sequence[Session]) -> list[str]:
    return list(dict.fromkeys(session.holder for session in group))


def _names(group: Sequence[Session]) -> str:
    names = _holders(group)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _waiters(group: Sequence[Session], sessions: Sessions) -> int:
    """How many sessions wait, directly or through others, for one of the group."""
    found = {session.pid for session in group}
    reached = 0
    while reached != len(found):
        reached = len(found)
        found |= {s.pid for s in sessions.sessions if found.intersection(s.blocked_by)}
    return reached - len(group)


def _may_wait(group: Sequence[Session], faces: Each[HealthAnswers]) -> bool:
    """Whether they may be requests that wait for one more connection of their own pool: they
    began together, within its longest wait, and requests get no connection."""
    answers = [seen for seen in faces.values() if isinstance(seen, HealthAnswers)]
    starved = any(sample.starved for seen in answers for sample in seen.samples)
    young = all(s.state_age is not None and s.state_age <= LONGEST_WAIT for s in group)
    return starved and young and began_together(group)


def _elsewhere(owners: Sequence[tuple[ClientProcess, int]]) -> Iterator[Evidence]:
    for owner, count in owners[:3]:
        most = f"at most {owner.connections} to one place, {owner.elsewhere}"
        yield Evidence(
            key="connections_elsewhere",
            value=owner.connections,
            text=f"{owner.who} holds {count} of them; of connections to anything else it has "
            + (most if owner.connections else "none"),
            source="socket table of this machine",
        )


def _evidence(
    group: Sequence[Session], sessions: Looks[Sessions], slots: Slots, fleet: Fleet, waiters: int
) -> Iterator[Evidence]:
    first, source = group[0], sessions.last.source
    ages = [s.state_age for s in group if s.state_age is not None]
    spell = f", for {min(ages):.0f} to {max(ages):.0f} s so far" if ages else ""
    stayed = (
        f"stayed idle in transaction over both looks, {sessions.seconds:.1f} s apart"
        if sessions.seconds
        else "are idle in transaction"
    )
    pool = (
        f"; one process's declared pool has {fleet.own_pool} connections" if fleet.own_pool else ""
    )
    yield Evidence(
        key="sessions_idle_in_transaction",
        value=len(group),
        text=f"{len(group)} sessions of {_names(group)}, role {first.user}, {stayed}{spell}{pool}",
        source="pg_stat_activity.state_change" if ages else source,
    )
    yield Evidence(
        key="used_slots",
        value=slots.used,
        text=f"{slots.text} (idle in transaction: {len(group)})",
        source=source,
    )
    if sessions.last.from_titles:
        return
    statement, alike = Counter(s.query for s in group).most_common(1)[0]
    yield Evidence(
        key="application",
        value=first.application,
        text=f"{alike} of them ran last: {' '.join(statement.split()) or '(nothing)'}",
        source="pg_stat_activity.query",
    )
    locks, snapshots = sum(s.locks > 0 for s in group), sum(s.has_xmin for s in group)
    yield Evidence(
        key="sessions_holding_locks",
        value=locks,
        text=f"{locks} hold locks ({waiters} sessions wait for them), {snapshots} hold a "
        f"snapshot (xmin) that vacuum waits for, {sum(s.has_xid for s in group)} have written",
        source="pg_locks, pg_stat_activity.backend_xmin and backend_xid",
    )


def _remedies(group: Sequence[Session], sessions: Sessions) -> tuple[Remedy, ...]:
    first, count = group[0], len(group)
    return (
        end_sessions(
            group,
            sessions.taken_at,
            effect=f"ends {count} sessions of {_names(group)}, if they still idle; what they had "
            "not committed is rolled back",
        ),
        look_at_sessions(group, effect="shows whether they still idle"),
        Remedy(
            step=Step.CURE,
            command="async with session.begin():   # or: async with pool.acquire() as connection:",
            effect=f"in {_names(group)}: a context manager ends the transaction and returns the "
            "connection on every path, also when the code raises",
            language="text",
        ),
        limit_idle_transactions(first.user),
    )


@check
def idle_in_transaction(
    now: Sessions,
    looks: Looks[Sessions] | None,
    slots: Slots,
    clients: Each[Clients],
    servers: Each[Servers],
    faces: Each[HealthAnswers],
    processes: ClientProcesses | None,
    service: Service,
    instance: Instance,
    *,
    leaked_sessions: int = 3,
    idle_seconds: float = 4.0,
    idle_seconds_in_one_look: float = 30.0,
    critical_seconds: float = 300.0,
    critical_share: float = 0.8,
) -> Iterator[Finding]:
    """Sessions hold a transaction open and do nothing: connections leak from their pool.

    A leak is ``leaked_sessions`` of one application and role, or one process's whole declared
    pool, that did not move between the looks and idles for ``idle_seconds``; where there was
    only one look, for ``idle_seconds_in_one_look``. Critical when it fills that pool, blocks
    others, is older than ``critical_seconds``, or the server's slots are taken by
    ``critical_share``.
    """
    sessions = looks or Looks(now, now, 0.0)
    least_idle = idle_seconds if looks else idle_seconds_in_one_look
    fleet = fleet_of(service, instance)
    idle = sum(s.idle_in_transaction for s in sessions.last.clients)
    measure = Measure(name="idle_in_transaction", value=idle)
    leaks = 0
    for group in _stuck(sessions, least_idle):
        count, waiters = len(group), _waiters(group, sessions.last)
        fills = bool(fleet.own_pool) and count >= fleet.own_pool
        if count < leaked_sessions and not fills:
            continue
        leaks += 1
        oldest = max(s.state_age or 0.0 for s in group)
        full = slots.refused or slots.share >= critical_share
        critical = fills or waiters or full or oldest >= critical_seconds
        holder = _names(group)
        what = "1 session" if count == 1 else f"{count} sessions"
        owners = processes.owners(group) if processes else []
        able = not owners or any(count <= owner.connections for owner, count in owners)
        calls, waits = able and may_be_calls(group), _may_wait(group, faces)
        behind = f"; {waiters} sessions wait for their locks" if waiters else ""
        yield Finding(
            status=Status.CRITICAL if critical else Status.WARNING,
            summary=f"{what} of {holder} idle in an open transaction; {slots.text}{behind}.",
            evidence=(
                *_evidence(group, sessions, slots, fleet, waiters),
                *held_through(group, clients, servers),
                *_elsewhere(owners),
            ),
            cause=Cause(
                label="leak.idle_in_transaction",
                confidence=Confidence.POSSIBLE if calls or waits else Confidence.LIKELY,
                because=f"{holder} opens transactions and neither ends them nor returns the "
                "connections: "
                + ("none of these sessions moved between the looks" if looks else "all are old"),
            ),
            remedies=_remedies(group, sessions.last),
            explains=_EXPLAINS,
            subjects=(
                *(Subject(kind="pid", value=str(s.pid)) for s in group),
                *(Subject(kind="application", value=name) for name in _holders(group)),
                *((Subject(kind="login", value=instance.address),) if slots.refused else ()),
            ),
            measures=(measure,) if leaks == 1 else (),
            notes=(*[_MAY_WAIT] * waits, *[MAY_BE_CALLS] * calls),
        )
    if not leaks:
        summary = f"{idle} sessions idle in a transaction, none of them stuck."
        yield Finding(status=Status.OK, summary=summary, measures=(measure,))
