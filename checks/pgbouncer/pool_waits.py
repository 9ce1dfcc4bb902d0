from collections.abc import Iterator

import msgspec

from backend_doctor import (
    SEEN_BY_CLIENTS,
    Each,
    Finding,
    Instance,
    Looks,
    Measure,
    Service,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.pgbouncer.holding import Doing, Holding, holding
from backend_doctor.backends.pgbouncer.pools import Pools, Queue
from backend_doctor.backends.pgbouncer.queue_rules import why_clients_wait
from backend_doctor.backends.pgbouncer.remedies import show
from backend_doctor.backends.pgbouncer.scene import Scene, Seen, scene_of
from backend_doctor.backends.pgbouncer.settings import Databases, Settings
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.stats import Stats
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.transactions import MAY_BE_CALLS, may_be_calls

_MOST_POOLS = 5
_EXPLAINS = ("reach.timed_out", *SEEN_BY_CLIENTS)


def _late(pools: Pools, databases: Databases | None, least: float) -> list[Queue]:
    """The queues whose first client waits for so long, and those at a paused database that last:
    PgBouncer does not time clients that it holds at their login, as it does after a KILL."""
    paused = {one.name for one in databases.databases if one.paused} if databases else ()
    return [
        queue
        for queue in pools.queues
        if queue.max_wait >= least or (queue.lasts and queue.pool.database in paused)
    ]


def _finding(scene: Scene, seen: Seen, status: Status, held: Holding | None) -> Finding:
    cause, evidence, remedies = why_clients_wait(scene, seen.settings, held)
    pool, of = scene.pool, f" of {scene.size}" if scene.size else ""
    wait = f", for up to {scene.queue.max_wait:.1f} s" if scene.queue.max_wait else ""
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
        summary=f"{pool.waiting} clients wait in pool {pool.text}{wait}; {pool.active}{of} server "
        "connections are in use.",
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

    late = _late(pools, databases, min(warning_seconds, critical))
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
