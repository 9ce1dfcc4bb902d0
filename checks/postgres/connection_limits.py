from collections import Counter
from collections.abc import Iterator

from backend_doctor import (
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
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.through import kept, with_clients
from backend_doctor.backends.postgres.clients import ClientProcesses, holders_of
from backend_doctor.backends.postgres.limits import ConnectionLimit, ConnectionLimits
from backend_doctor.backends.postgres.remedies import look_at_sessions
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.sql import quote_identifier


def _held(limit: ConnectionLimit, sessions: Looks[Sessions] | None) -> list[Session]:
    clients = sessions.last.clients if sessions else ()
    role = limit.kind == "role"
    return [s for s in clients if (s.user if role else s.database) == limit.name]


def _evidence(
    limit: ConnectionLimit, held: list[Session], processes: ClientProcesses | None
) -> Iterator[Evidence]:
    source = "pg_roles.rolconnlimit" if limit.kind == "role" else "pg_database.datconnlimit"
    if limit.most is None or limit.used is None:
        yield Evidence(
            key="refused",
            value=True,
            text=f"our own login was refused: {limit.text}",
            source="SQLSTATE 53300",
        )
        return
    yield Evidence(key="connections_in_limit", value=limit.used, text=limit.text, source=source)
    yield Evidence(
        key="connection_limit",
        value=limit.most,
        text=f"ALTER {limit.kind.upper()} {quote_identifier(limit.name)} has CONNECTION LIMIT "
        f"{limit.most}",
        source=source,
    )
    if held:
        who, count = Counter(s.holder for s in held).most_common(1)[0]
        idle = sum(s.state == "idle" for s in held)
        clients = holders_of(held, processes)
        yield Evidence(
            key="application",
            value=who,
            text=f"{count} of them are of {who}; {idle} of all {len(held)} idle; from {clients}",
            source="pg_stat_activity",
        )


def _remedies(limit: ConnectionLimit, held: list[Session]) -> Iterator[Remedy]:
    if held:
        yield look_at_sessions(held, effect="shows who holds them, and what they do")
    yield Remedy(
        step=Step.CURE,
        command=f"replicas x workers x (pool_size + max_overflow) <= {limit.most or 'the limit'}"
        "   # less 1 for each process that a rolling deployment runs beside the old ones",
        effect=f"pools of all processes that log in as, or to, {limit.name} fit below its limit",
        language="text",
    )
    yield Remedy(
        step=Step.PREVENT,
        command="SELECT rolname, rolconnlimit FROM pg_roles WHERE rolconnlimit > 0;\n"
        "SELECT datname, datconnlimit FROM pg_database WHERE datconnlimit > 0;",
        effect="shows all such limits; lift one only where the server has room for it: it "
        "protects the others",
    )


def _judge(
    limit: ConnectionLimit,
    held: list[Session],
    instance: Instance,
    processes: ClientProcesses | None,
    *,
    refused: bool,
    measures: tuple[Measure, ...],
) -> Finding:
    label = "pool.role_limit" if limit.kind == "role" else "pool.database_limit"
    reached = limit.share >= 1
    return Finding(
        status=Status.CRITICAL if reached else Status.WARNING,
        summary=f"{limit.text[0].upper()}{limit.text[1:]}"
        f"{', though the server may have room' if refused else ''}.",
        evidence=tuple(_evidence(limit, held, processes)),
        cause=Cause(
            label=label,
            confidence=Confidence.CERTAIN,
            because=f"the {limit.kind} has a limit of its own: the next login is refused with "
            "SQLSTATE 53300, however many slots the server has free"
            if reached
            else f"the {limit.kind} has a limit of its own, below the server's, and is close to it",
        ),
        remedies=tuple(_remedies(limit, held)),
        explains=("reach.full", "http.server_error", "cors.error_masks_5xx"),
        subjects=(
            *(Subject(kind="pid", value=str(s.pid)) for s in held),
            *(
                Subject(kind="application", value=name)
                for name in dict.fromkeys(s.holder for s in held)
            ),
            *((Subject(kind="login", value=instance.address),) if refused else ()),
            *((Subject(kind="error", value="postgres.too_many_connections"),) if reached else ()),
        ),
        measures=measures,
    )


@check
def connection_limits(
    limits: ConnectionLimits,
    sessions: Looks[Sessions] | None,
    processes: ClientProcesses | None,
    clients: Each[Clients],
    servers: Each[Servers],
    service: Service,
    instance: Instance,
    *,
    warning: float = 0.9,
) -> Iterator[Finding]:
    """A role or a database reaches the connection limit of its own, whatever the server has free.

    ``warning`` is a share of the limit, which is critical when it is reached. A declared pool
    that fills its limit and cannot ask for more is fine.
    """
    fleet, notes = fleet_of(service, instance), []
    fullest = max(limits.limits, key=lambda one: one.share, default=None)
    measures: tuple[Measure, ...] = (
        Measure(
            name="fullest_connection_limit",
            value=round(100 * fullest.share, 1) if fullest else 0,
            unit="%",
            warning=100 * warning,
            critical=100,
        ),
    )
    for limit in limits.limits:
        held = _held(limit, sessions)
        bounded = 0 < fleet.demand <= (limit.most or 0) and (limit.used or 0) <= fleet.demand
        if limit.share >= warning and bounded:
            notes.append(f"{limit.text}, and the declared pools cannot ask for more")
        elif limit.share >= warning:
            found = _judge(
                limit, held, instance, processes, refused=limits.refused, measures=measures
            )
            yield with_clients(found, kept(held, sessions), clients, servers)
            measures = ()
    if measures:
        text = fullest.text if fullest else "No role and no database has a limit of its own"
        yield Finding(
            status=Status.OK,
            summary=f"{text[0].upper()}{text[1:]}.",
            measures=measures,
            notes=tuple(notes),
        )
