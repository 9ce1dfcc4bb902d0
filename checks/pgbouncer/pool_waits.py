from collections.abc import Iterator

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
    Subject,
    check,
)
from backend_doctor.backends.pgbouncer.holding import Doing, Holding, holding
from backend_doctor.backends.pgbouncer.pools import Pools, Queue
from backend_doctor.backends.pgbouncer.remedies import (
    end_leak,
    explain_slow,
    larger_pool,
    name_database_behind,
    resume,
    shorter_transactions,
    show,
    transaction_mode,
)
from backend_doctor.backends.pgbouncer.scene import Scene, Seen, scene_of
from backend_doctor.backends.pgbouncer.settings import Databases, Settings
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.stats import Stats
from backend_doctor.backends.pgbouncer.through import held_through
from backend_doctor.backends.postgres.remedies import lock_tree
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.transactions import MAY_BE_CALLS, may_be_calls

_MOST_POOLS = 5
_EXPLAINS = ("reach.timed_out", *SEEN_BY_CLIENTS)
Verdict = tuple[Cause, tuple[Evidence, ...], tuple[Remedy, ...]]


def _leaked(scene: Scene, held: Holding) -> Verdict:
    sessions, taken_at = held.sessions, scene.behind.looks.last.taken_at if scene.behind else ""
    count, who = len(sessions), ", ".join(dict.fromkeys(one.holder for one in sessions))
    oldest = max(one.state_age or 0.0 for one in sessions)
    cause = Cause(
        label="leak.idle_in_transaction",
        confidence=Confidence.POSSIBLE if may_be_calls(sessions) else Confidence.LIKELY,
        because="the pool's connections are kept by transactions that do nothing: PgBouncer "
        "gets one back only when its transaction ends",
    )
    evidence = Evidence(
        key="sessions_idle_in_transaction",
        value=count,
        text=f"{count} of the pool's {scene.pool.active} sessions, of {who}, stay idle in an open "
        f"transaction, the oldest for {oldest:.0f} s",
        source="pg_stat_activity.state_change, SHOW SERVERS remote_pid",
    )
    named = held_through(sessions, *scene.joined)
    return cause, (evidence, *named), end_leak(sessions, taken_at, who)


def _kept(scene: Scene, held: Holding) -> Verdict:
    cause = Cause(
        label="pgbouncer.session_pooling",
        confidence=Confidence.LIKELY,
        because=f"in {scene.pool.mode} mode a client keeps its server connection until it "
        "disconnects, also while it does nothing",
    )
    evidence = Evidence(
        key="sessions_idle",
        value=len(held.sessions),
        text=f"{len(held.sessions)} of the pool's {scene.pool.active} sessions idle outside of any "
        "transaction, and did all the time between the looks",
        source="pg_stat_activity.state_change, SHOW SERVERS remote_pid",
    )
    named = held_through(held.sessions, *scene.joined)
    return cause, (evidence, *named), (transaction_mode(),)


def _blocked(held: Holding) -> Verdict:
    cause = Cause(
        label="pool.blocked_sessions",
        confidence=Confidence.CERTAIN,
        because="the pool's connections wait for a lock; end what blocks them",
    )
    evidence = Evidence(
        key="sessions_waiting_for_locks",
        value=len(held.sessions),
        text=f"{len(held.sessions)} of the pool's sessions wait for a lock",
        source="pg_stat_activity.wait_event_type, SHOW SERVERS remote_pid",
    )
    return cause, (evidence,), (lock_tree(),)


def _one_statement(held: Holding) -> Verdict:
    longest = max(held.sessions, key=lambda session: session.state_age or 0.0)
    cause = Cause(
        label="query.pileup",
        confidence=Confidence.LIKELY,
        because="the pool's connections run one slow statement and clients queue behind it; a "
        "larger pool would only run it more often at once",
    )
    evidence = Evidence(
        key="sessions_in_one_statement",
        value=len(held.sessions),
        text=f"{len(held.sessions)} of the pool's sessions run one statement, the longest for "
        f"{longest.state_age or 0:.1f} s: {' '.join(longest.query.split())}",
        source="pg_stat_activity, SHOW SERVERS remote_pid",
    )
    return cause, (evidence,), explain_slow(held.sessions)


def _too_small(scene: Scene, settings: Settings | None, spare: int) -> Verdict:
    database, pool = scene.database, scene.pool
    cause = Cause(
        label="pgbouncer.pool_too_small",
        confidence=Confidence.LIKELY,
        because=f"all {pool.active} server connections work and turn over, PostgreSQL has "
        f"{spare} free: more clients want one than the pool has",
    )
    # half of what is free, since other pools and applications take theirs from it too
    more = max(1, min(pool.waiting, spare // 2))
    larger = (larger_pool(database, settings, pool.active, more),) if database else ()
    return cause, (), (*larger, shorter_transactions())


def _busy(scene: Scene) -> Verdict:
    unseen = [
        "whether its connections leak, wait or work (PostgreSQL's sessions behind it are not seen)"
        if scene.behind is None
        else "",
        "whether they turn over (seen only once; use a --window above 0)"
        if scene.rate is None
        else "",
        "whether PostgreSQL has room for more" if scene.free_slots is None else "",
    ]
    what = "; ".join(filter(None, unseen)) or "no single reason stands out among its sessions"
    cause = Cause(
        label="pgbouncer.pool_busy",
        confidence=Confidence.POSSIBLE,
        because=f"all server connections of the pool are in use; not known: {what}"
        if any(unseen)
        else f"all server connections of the pool are in use; {what}",
    )
    return cause, (), () if scene.behind else (name_database_behind(scene.database),)


def _no_connection(scene: Scene) -> Verdict:
    if scene.server_full:
        cause = Cause(
            label="pgbouncer.server_full",
            confidence=Confidence.LIKELY,
            because="the pool may open more connections, but PostgreSQL has no slot left for them",
        )
        return cause, (), ()
    cause = Cause(
        label="pgbouncer.server_unavailable",
        confidence=Confidence.LIKELY if not scene.pool.servers else Confidence.POSSIBLE,
        because="the pool may open more connections and has none free: PgBouncer's logins to "
        "PostgreSQL fail or hang; its log says why",
    )
    return cause, (), ()


def _paused(scene: Scene) -> Verdict:
    cause = Cause(
        label="pgbouncer.paused",
        confidence=Confidence.CERTAIN,
        because="an administrator has paused this database at the console; clients wait until "
        "it is resumed",
    )
    return cause, (), (resume(scene.pool.database),)


def _verdict(scene: Scene, settings: Settings | None, held: Holding | None) -> Verdict:
    if scene.database and scene.database.paused:
        return _paused(scene)
    if held and held.doing is Doing.LEAKED:
        return _leaked(scene, held)
    if held and held.doing is Doing.BLOCKED:
        return _blocked(held)
    if held and held.doing is Doing.ONE_STATEMENT:
        return _one_statement(held)
    if held and held.doing is Doing.IDLE:
        return _kept(scene, held)
    bounded = settings is not None and settings.max_user_connections > 0
    if scene.size and not scene.full and not scene.pool.idle and not bounded:
        return _no_connection(scene)
    if held and scene.full and scene.rate and scene.free_slots:
        return _too_small(scene, settings, scene.free_slots)
    return _busy(scene)


def _finding(scene: Scene, seen: Seen, status: Status, held: Holding | None) -> Finding:
    cause, evidence, remedies = _verdict(scene, seen.settings, held)
    pool, of = scene.pool, f" of {scene.size}" if scene.size else ""
    subjects = list(scene.subjects)
    if scene.upstream is not None and cause.label.startswith("pgbouncer.server"):
        subjects.append(Subject(kind="login", value=scene.upstream.address))
        subjects.append(Subject(kind="service", value=seen.service.name))
    if held and held.doing is Doing.ONE_STATEMENT and scene.upstream:
        ids = {session.query_id for session in held.sessions if session.query_id}
        subjects += [
            Subject(kind="query", value=one, server=scene.upstream.address) for one in sorted(ids)
        ]
    idle = sum(one.idle_in_transaction for one in scene.behind.sessions) if scene.behind else 0
    thinking = idle and cause.label == "pgbouncer.pool_too_small"
    note = f"{idle} of its sessions idled in a transaction at that moment, though not for long"
    leaked = held.sessions if held and held.doing is Doing.LEAKED else ()
    return Finding(
        status=status,
        summary=f"{pool.waiting} clients wait in pool {pool.text}, for up to "
        f"{scene.queue.max_wait:.1f} s; {pool.active}{of} server connections are in use.",
        evidence=(*scene.evidence(), *evidence),
        cause=cause,
        remedies=(
            *remedies,
            show(scene.bouncer, "POOLS", "shows cl_waiting, maxwait and sv_active of each pool"),
            show(scene.bouncer, "SERVERS", "remote_pid is pid in pg_stat_activity"),
        ),
        explains=_EXPLAINS,
        subjects=tuple(subjects),
        notes=(*[note] * bool(thinking), *[MAY_BE_CALLS] * bool(leaked and may_be_calls(leaked))),
    )


@check
def pool_waits(
    pools: Pools,
    pool_looks: Looks[Pools] | None,
    databases: Databases | None,
    settings: Settings | None,
    clients: Clients | None,
    servers: Servers | None,
    stats: Looks[Stats] | None,
    now: Each[Sessions],
    looks: Each[Looks[Sessions]],
    slots: Each[Slots],
    service: Service,
    instance: Instance,
    *,
    warning_seconds: float = 1.0,
    critical_seconds: float = 5.0,
    critical_share: float = 0.5,
    idle_seconds: float = 4.0,
    idle_seconds_in_one_look: float = 30.0,
    slow_seconds: float = 1.0,
) -> Iterator[Finding]:
    """Clients wait in PgBouncer: a leak behind it, a slow statement, a small pool, or no server.

    Judged from queues that are there in two of three samples, and from the wait of the first
    in line; critical from ``critical_share`` of query_wait_timeout on too. Sessions idle in a
    transaction for ``idle_seconds`` (where there was one look, ``idle_seconds_in_one_look``)
    leak; a statement is slow from ``slow_seconds`` on.
    """
    timeout = settings.query_wait_timeout if settings else 0
    critical = min(critical_seconds, critical_share * timeout or critical_seconds)
    longest = max((queue.max_wait for queue in pools.queues), default=0.0)
    waiting, count = pool_looks.last.waiting if pool_looks else pools.waiting, len(pools.last)
    measures = (
        Measure(name="waiting_clients", value=waiting),
        Measure(
            name="max_wait_seconds",
            value=longest,
            unit="s",
            warning=warning_seconds,
            critical=critical,
        ),
    )

    def status(queue: Queue) -> Status:
        return Status.CRITICAL if queue.max_wait >= critical else Status.WARNING

    late = [queue for queue in pools.queues if queue.max_wait >= min(warning_seconds, critical)]
    if not late:
        summary = f"{waiting} clients wait for a server connection, none for long; {count} pools."
        yield Finding(status=Status.OK, summary=summary, measures=measures)
        return
    seen = Seen(databases, settings, clients, servers, stats, now, looks, slots, service, instance)
    for number, queue in enumerate(late[:_MOST_POOLS]):
        scene = scene_of(queue, seen)
        held = None
        if scene.behind is not None:
            held = holding(
                scene.behind,
                idle_seconds=idle_seconds,
                idle_seconds_in_one_look=idle_seconds_in_one_look,
                slow_seconds=slow_seconds,
                seconds_each=scene.seconds_each,
            )
        found = _finding(scene, seen, status(queue), held)
        yield msgspec.structs.replace(found, measures=measures) if number == 0 else found
