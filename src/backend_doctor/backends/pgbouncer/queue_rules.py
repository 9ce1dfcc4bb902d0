"""Why clients wait for a connection: a rule for each cause, with its evidence and remedies."""

from backend_doctor.backends.pgbouncer.holding import Doing, Holding
from backend_doctor.backends.pgbouncer.remedies import (
    end_leak,
    larger_pool,
    name_database_behind,
    resume,
    shorter_transactions,
    transaction_mode,
    why_logins_fail,
)
from backend_doctor.backends.pgbouncer.scene import Scene
from backend_doctor.backends.pgbouncer.settings import Settings
from backend_doctor.backends.pgbouncer.through import held_through
from backend_doctor.backends.postgres.remedies import (
    explain_slow,
    lock_tree,
    look_at_sessions,
    who_holds_slots,
)
from backend_doctor.backends.postgres.transactions import may_be_calls
from backend_doctor.model import Cause, Confidence, Evidence, Remedy

Verdict = tuple[Cause, tuple[Evidence, ...], tuple[Remedy, ...]]


def why_clients_wait(scene: Scene, settings: Settings | None, held: Holding | None) -> Verdict:
    """The cause for which clients wait for this pool, what shows it, and what to do about it.

    ``held`` is what most of its sessions do, None where they are not seen.
    """
    if scene.database and scene.database.paused:
        return _paused(scene)
    bounded = settings is not None and settings.max_user_connections > 0
    short = bool(scene.size) and not scene.full and not scene.pool.idle and not bounded
    # whatever the few do that it has: those who wait would get one of the others
    if short and scene.server_full:
        return _server_full()
    if held and held.doing is Doing.LEAKED:
        return _leaked(scene, held)
    if held and held.doing is Doing.BLOCKED:
        return _blocked(held)
    if held and held.doing is Doing.ONE_STATEMENT:
        return _one_statement(held)
    if held and held.doing is Doing.IDLE:
        return _kept(scene, settings, held)
    if short:
        return _unavailable(scene)
    if held and scene.full and scene.rate and scene.free_slots:
        return _too_small(scene, settings, scene.free_slots)
    return _busy(scene)


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


def _kept(scene: Scene, settings: Settings | None, held: Holding) -> Verdict:
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
    return cause, (evidence, *named), (transaction_mode(scene.pool, scene.database, settings),)


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
    confirm = look_at_sessions(held.sessions, effect="shows whether they turn over")
    return cause, (evidence,), (confirm, explain_slow(longest))


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


def _server_full() -> Verdict:
    cause = Cause(
        label="pgbouncer.server_full",
        confidence=Confidence.LIKELY,
        because="the pool may open more connections, but PostgreSQL has no slot left for them",
    )
    return cause, (), (who_holds_slots(),)


def _unavailable(scene: Scene) -> Verdict:
    pool = scene.pool
    unless = (
        "" if pool.servers else "; unless all of PgBouncer is paused, which its log says as well"
    )
    cause = Cause(
        label="pgbouncer.server_unavailable",
        confidence=Confidence.POSSIBLE if pool.active or pool.idle else Confidence.LIKELY,
        because="the pool may open more connections and has none free: PgBouncer's logins to "
        f"PostgreSQL fail or hang; its log says why{unless}",
    )
    return cause, (), why_logins_fail(scene.database, pool)


def _paused(scene: Scene) -> Verdict:
    cause = Cause(
        label="pgbouncer.paused",
        confidence=Confidence.CERTAIN,
        because="an administrator has paused this database at the console (PAUSE or KILL); clients "
        "wait until it is resumed",
    )
    evidence = Evidence(
        key="paused_database",
        value=scene.pool.database,
        text=f"{scene.pool.database} is paused: no connection to PostgreSQL is opened or lent",
        source="SHOW DATABASES paused",
    )
    return cause, (evidence,), (resume(scene.pool.database),)
