from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Instance,
    Measure,
    Remedy,
    Service,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.pgbouncer.behind import instance_of
from backend_doctor.backends.pgbouncer.demand import Demand, demand_of
from backend_doctor.backends.pgbouncer.pools import Pools
from backend_doctor.backends.pgbouncer.remedies import show
from backend_doctor.backends.pgbouncer.settings import Database, Databases
from backend_doctor.backends.postgres.slots import Slots


def _servers(
    databases: Databases, service: Service, bouncer: Instance
) -> dict[str, tuple[Instance, list[Database]]]:
    """The databases by the PostgreSQL of the service that they lead to."""
    found: dict[str, tuple[Instance, list[Database]]] = {}
    for database in databases.databases:
        upstream = instance_of(database, service, bouncer)
        if upstream is not None:
            found.setdefault(upstream.name, (upstream, []))[1].append(database)
    return found


def _overflow(
    demand: Demand, slots: Slots, upstream: Instance, bouncer: Instance, evidence: Evidence
) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"The pools may open {demand.possible} connections to {upstream.address}, which "
        f"gives {slots.usable}; the clients of now suffice for {demand.now}.",
        evidence=(evidence,),
        cause=Cause(
            label="pgbouncer.oversubscribed",
            confidence=Confidence.LIKELY,
            because="each pair of database and user has a pool of its own, and together they may "
            "ask for more connections than PostgreSQL has",
        ),
        remedies=(
            show(bouncer, "POOLS", "one line for each pool: database and user"),
            Remedy(
                step=Step.CURE,
                command="sum over databases of users x (pool_size + reserve_pool) <= "
                f"{slots.usable}; or max_db_connections, which bounds all pools of a database",
                effect="smaller pools in pgbouncer.ini, then RELOAD at the console: clients wait "
                "in PgBouncer for a moment, where PostgreSQL would refuse them",
                language="text",
            ),
        ),
        subjects=(Subject(kind="login", value=upstream.address),),
    )


@check
def pool_arithmetic(
    databases: Databases,
    pools: Pools,
    slots: Each[Slots],
    service: Service,
    instance: Instance,
) -> Iterator[Finding]:
    """The pools together may ask PostgreSQL for more connections than it has.

    A warning once the clients that are connected now would suffice for it; where only the
    settings add up to more, the sum is told and no more.
    """
    judged = 0
    for name, (upstream, members) in _servers(databases, service, instance).items():
        has = slots.get(name)
        if not isinstance(has, Slots) or has.refused:
            continue
        judged += 1
        demand = demand_of(members, pools.last)
        text = f"pools (users x connections): {demand.terms or 'none in use'} = {demand.possible}"
        evidence = Evidence(
            key="possible_server_connections",
            value=demand.possible,
            text=f"{text}; PostgreSQL gives {has.usable}",
            source="SHOW POOLS, SHOW DATABASES, max_connections",
        )
        measure = Measure(
            name="possible_server_connections", value=demand.possible, maximum=has.usable
        )
        if demand.now > has.usable:
            yield _overflow(demand, has, upstream, instance, evidence)
            continue
        more = demand.possible > has.usable
        note = f"with more clients, PostgreSQL's {has.usable} connections would not suffice: {text}"
        yield Finding(
            status=Status.OK,
            summary=f"The pools may open {demand.possible} connections to {upstream.address}, "
            f"which gives {has.usable}.",
            evidence=(evidence,),
            measures=(measure,),
            notes=(note,) if more else (),
        )
    if not judged:
        yield Finding(
            status=Status.SKIPPED,
            summary="The PostgreSQL behind it is not among this service's backends, or its limit "
            "is not known.",
        )
