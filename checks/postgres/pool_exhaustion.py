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
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.through import held_through, kept
from backend_doctor.backends.postgres.clients import ClientProcesses, holders_of
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.remedies import (
    explain_slow,
    look_at_sessions,
    who_holds_slots,
)
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.sizing import Work, work_within
from backend_doctor.backends.postgres.slots import Slots

# seconds, where no second look tells who stays
_LASTING = 5.0


def _pids(sessions: Sequence[Session]) -> tuple[Subject, ...]:
    return tuple(Subject(kind="pid", value=str(session.pid)) for session in sessions)


def _same_statement(sessions: Looks[Sessions]) -> tuple[list[Session], int]:
    """The largest group of active sessions in one statement, and its size in the first look."""

    def running(look: Sessions) -> dict[str, list[Session]]:
        groups: dict[str, list[Session]] = defaultdict(list)
        for session in look.clients:
            if session.state == "active" and session.wait_type != "Lock":
                groups[session.statement].append(session)
        return groups

    group = max(running(sessions.last).values(), key=len, default=[])
    return group, len(running(sessions.first)[group[0].statement]) if group else 0


def _pileup(
    group: Sequence[Session], before: str, instance: Instance
) -> tuple[Cause, Evidence, tuple[Remedy, ...]]:
    first, longest = group[0], max(group, key=lambda session: session.state_age or 0.0)
    text = (
        f"{len(group)} active sessions run one statement{before}, the longest "
        f"for {longest.state_age or 0:.1f} s: {' '.join(first.query.split())}"
    )
    cause = Cause(
        label="query.pileup",
        confidence=Confidence.LIKELY,
        because="requests queue behind one slow statement and each keeps its connection; more "
        "connections would only lengthen the queue",
    )
    source = "pg_stat_activity.query_id" if first.query_id else "pg_stat_activity.query"
    confirm = look_at_sessions(group, effect="shows whether they turn over, and what they wait for")
    key = "sessions_in_one_statement"
    evidence = Evidence(key=key, value=len(group), text=text, source=source)
    return cause, evidence, (confirm, explain_slow(longest, instance))


def _blocked(waiting: Sequence[Session]) -> tuple[Cause, Evidence, tuple[Remedy, ...]]:
    cause = Cause(
        label="pool.blocked_sessions",
        confidence=Confidence.CERTAIN,
        because="the connections are taken by sessions that wait for a lock; end what blocks them",
    )
    evidence = Evidence(
        key="sessions_waiting_for_locks",
        value=len(waiting),
        text=f"{len(waiting)} sessions wait for a lock",
        source="pg_stat_activity.wait_event_type",
    )
    return cause, evidence, (look_at_sessions(waiting, effect="shows what they wait for"),)


def _oversubscribed(
    sessions: Sessions, slots: Slots, fleet: Fleet, idle: int, work: Work | None
) -> tuple[Cause, Evidence, tuple[Remedy, ...]]:
    holders = Counter((s.holder, s.user) for s in sessions.clients)
    who = ", ".join(f"{count} of {holder}" for (holder, _), count in holders.most_common(4))
    declared = fleet.demand > slots.usable
    arithmetic = f"; {fleet.text}" if fleet.demand else "; no pool sizes are declared for it"
    cause = Cause(
        label="fleet.oversubscribed",
        confidence=Confidence.CERTAIN if declared and idle else Confidence.LIKELY,
        because="the pools of all processes together may open more connections than the server "
        "has, and most of those open now do nothing",
    )
    evidence = Evidence(
        key="declared_connections" if fleet.demand else "idle_connections",
        value=fleet.demand or idle,
        text=f"{idle} of {slots.used} connections are idle ({who}){arithmetic}",
        source=f"configuration, {sessions.source}" if fleet.demand else sessions.source,
    )
    spare = max(1, slots.usable - fleet.others)
    return (
        cause,
        evidence,
        (
            Remedy(
                step=Step.STOP,
                command="stop the worker processes that the traffic of now does not need",
                effect="frees the connections of their pools at once",
                changes_state=True,
                language="text",
            ),
            who_holds_slots(),
            Remedy(
                step=Step.CURE,
                command=f"replicas x workers x (pool_size + max_overflow) <= {spare}",
                effect="smaller pools for every process of the service: "
                + (f"{work.text}, as far as now goes" if work else "most connections idle"),
                language="text",
            ),
            Remedy(
                step=Step.PREVENT,
                command="pool_mode = transaction   # PgBouncer, one small pool for all processes",
                effect="many client connections share few server connections",
                language="text",
            ),
        ),
    )


def _unexplained(slots: Slots, spread: Counter[str]) -> tuple[Cause, Evidence, tuple[Remedy, ...]]:
    text = ", ".join(f"{count} {state}" for state, count in spread.most_common())
    cause = Cause(
        label="pool.server_full",
        confidence=Confidence.POSSIBLE,
        because="the slots are taken, but no single reason stands out among the sessions",
    )
    evidence = Evidence(key="states", value=text, text=f"sessions by state: {text or 'not seen'}")
    return cause, evidence, (who_holds_slots(),)


def _figures(
    sessions: Looks[Sessions] | None, work: Work | None, processes: ClientProcesses | None
) -> Iterator[Evidence]:
    """How many connections the work needs, and which processes of this machine hold them."""
    if work is not None:
        yield Evidence(
            key="busy_connections",
            value=round(work.busy, 1),
            text=work.text,
            source="pg_stat_database.active_time and pg_stat_activity, both looks",
        )
    if sessions and processes:
        yield Evidence(
            key="client_processes",
            value=len({one.client_pid for one in processes.clients}),
            text=f"held from here: {holders_of(sessions.last.clients, processes)}",
            source="socket table of this machine",
        )


@check
def pool_exhaustion(
    slots: Slots,
    now: Sessions | None,
    looks: Looks[Sessions] | None,
    counters: Looks[Counters] | None,
    processes: ClientProcesses | None,
    pooled: Each[Clients],
    servers: Each[Servers],
    service: Service,
    instance: Instance,
    *,
    warning: float = 0.80,
    critical: float = 0.95,
    slow_seconds: float = 1.0,
) -> Iterator[Finding]:
    """The server's connection slots run out: what takes them decides what to do.

    ``warning`` and ``critical`` are shares of the slots that an ordinary role can get. Fixed
    pools that idle below their declared sum are fine at any share; statements that run for
    ``slow_seconds`` can pile up. What the work of now needs is told by Little's law.
    """
    fleet = fleet_of(service, instance)
    sessions = looks or (Looks(now, now, 0.0) if now else None)
    used = Evidence(
        key="used_slots",
        value=slots.used,
        text=f"{slots.text} (warning {warning:.0%}, critical {critical:.0%} of the usable)",
        source=sessions.last.source if sessions else "pg_stat_activity",
    )
    measure = Measure(
        name="used_connections",
        value=slots.used,
        warning=round(slots.usable * warning, 1),
        critical=round(slots.usable * critical, 1),
        maximum=slots.usable,
    )
    clients = sessions.last.clients if sessions else ()
    spread = Counter(s.state or "other" for s in clients)
    waiting = [s for s in clients if s.wait_type == "Lock"]
    # a session that has just come is not one that a pool keeps
    lasting = looks.seconds if looks else _LASTING
    idle = sum(s.state == "idle" and s.backend_age >= lasting for s in clients)
    # a monitor and an administrator may be connected beside the declared pools
    declared = 0 < fleet.demand <= slots.usable and slots.used <= fleet.demand + 2
    bounded = declared and not slots.refused and slots.used < slots.usable
    if slots.share < warning or bounded:
        summary = (
            f"{slots.text}{', and the declared pools cannot ask for more' if bounded else ''}."
        )
        pools = Evidence(
            key="declared_connections", value=fleet.demand, text=fleet.text, source="configuration"
        )
        seen = (used, pools) if fleet.demand else (used,)
        yield Finding(status=Status.OK, summary=summary, evidence=seen, measures=(measure,))
        return
    work = work_within(counters, sessions) if counters and sessions else None
    group, before = _same_statement(sessions) if sessions else ([], 0)
    long = any((s.state_age or 0.0) >= slow_seconds for s in group)
    if sessions and idle >= slots.used / 2:
        named = _oversubscribed(sessions.last, slots, fleet, idle, work)
    elif waiting and len(waiting) >= slots.used / 2:
        named = _blocked(waiting)
    elif long and min(len(group), before) >= slots.used / 2:
        named = _pileup(group, f" ({before} in the first look)" if looks else "", instance)
    else:
        named = _unexplained(slots, spread)
    cause, evidence, remedies = named
    yield Finding(
        status=Status.CRITICAL if slots.refused or slots.share >= critical else Status.WARNING,
        summary=f"{slots.text[0].upper()}{slots.text[1:]}.",
        evidence=(
            used,
            evidence,
            *_figures(sessions, work, processes),
            *held_through(kept(clients, looks), pooled, servers),
        ),
        cause=cause,
        remedies=remedies,
        explains=("reach.full", *SEEN_BY_CLIENTS),
        subjects=(
            *_pids(clients),
            Subject(kind="service", value=service.name),
            *(
                Subject(kind="application", value=name)
                for name in dict.fromkeys(client.holder for client in clients)
            ),
            *((Subject(kind="login", value=instance.address),) if slots.refused else ()),
        ),
        measures=(measure,),
        notes=(fleet.text,) if fleet.demand else (),
    )
