from collections.abc import Iterator
from shlex import quote

from backend_doctor import (
    Cause,
    Confidence,
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
    fleet_of,
)
from backend_doctor.backends.mongodb.connections import MongoConnections

# idle connections are left out of $currentOp unless asked for
_WHO = (
    'db.getSiblingDB("admin").aggregate([{$currentOp: {allUsers: true, idleConnections: true}}, '
    '{$group: {_id: {app: "$appName", host: {$arrayElemAt: [{$split: '
    '[{$ifNull: ["$client", ""]}, ":"]}, 0]}}, connections: {$sum: 1}, '
    "active: {$sum: {$cond: [{$eq: ['$active', true]}, 1, 0]}}}}, "
    "{$sort: {connections: -1}}, {$limit: 10}]).toArray()"
)


def _evidence(
    connections: MongoConnections, service: Service, instance: Instance
) -> list[Evidence]:
    found = []
    if connections.refused:
        found.append(
            Evidence(
                key="refused",
                value=True,
                text="our own connection was taken and closed at once",
                source="login",
            )
        )
    if connections.used is not None:
        found.append(
            Evidence(
                key="used_connections",
                value=connections.used,
                text=f"{connections.text}, {connections.active} with a command under way",
                source="serverStatus connections.current, available, active",
            )
        )
    if connections.rejected:
        found.append(
            Evidence(
                key="rejected_connections",
                value=connections.rejected,
                text=f"{connections.rejected} were rejected since the server's start "
                f"{connections.uptime} s ago",
                source="serverStatus connections.rejected",
            )
        )
    fleet = fleet_of(service, instance)
    if fleet.demand:
        found.append(
            Evidence(
                key="declared_connections",
                value=fleet.demand,
                text=f"the declared pools may take {fleet.demand} (replicas x workers x "
                f"max_pool_size: {fleet.terms}), and each pool 2 more to watch each member",
                source="configuration",
            )
        )
    return found


def _remedies(instance: Instance, refused: bool) -> Iterator[Remedy]:
    if refused:
        yield Remedy(
            step=Step.STOP,
            command="Restart one process of the application that has most connections "
            f"to port {instance.port}.",
            effect="frees the places that its pool holds; its requests under way fail",
            changes_state=True,
            language="text",
        )
    where = f"--host {quote(instance.host)} --port {instance.port}"
    yield Remedy(
        step=Step.CONFIRM,
        command=f"mongosh --quiet {where} --eval {quote(_WHO)}",
        effect="counts connections by application and host; needs the role clusterMonitor, and "
        "--username where logins are on",
        language="sh",
    )
    yield Remedy(
        step=Step.CURE,
        command="Make one client for each process, at start-up, and set its maxPoolSize: the "
        "default of 100 is for each process and each member.",
        effect="bounds what the applications can take",
        language="text",
    )


@check
def connections(
    connections: MongoConnections,
    service: Service,
    instance: Instance,
    *,
    warning: float = 0.8,
    critical: float = 0.95,
) -> Iterator[Finding]:
    """The server has no room, or soon none, for another connection.

    ``warning`` and ``critical`` are shares of what the server takes, the usual thresholds of
    MongoDB monitors (70 to 80 and 90 to 95 %).
    """
    evidence = tuple(_evidence(connections, service, instance))
    measures: tuple[Measure, ...] = ()
    if connections.used is not None and connections.most:
        measures = (
            Measure(
                name="used_connections",
                value=connections.used,
                warning=warning * connections.most,
                critical=critical * connections.most,
                maximum=connections.most,
            ),
        )
    text = connections.text
    if connections.share < warning:
        yield Finding(status=Status.OK, summary=f"{text}.", evidence=evidence, measures=measures)
        return
    full = connections.share >= critical
    yield Finding(
        status=Status.CRITICAL if full else Status.WARNING,
        summary=f"{text[0].upper()}{text[1:]}.",
        evidence=evidence,
        cause=Cause(
            label="mongo.connections_exhausted",
            confidence=Confidence.CERTAIN
            if full and not connections.refused
            else Confidence.LIKELY,
            because="nothing else that serves MongoDB takes a connection and closes it without a "
            "word, but for a proxy that has no server behind it"
            if connections.refused
            else "whoever connects anew once the rest is taken is cut off without a word",
        ),
        remedies=tuple(_remedies(instance, connections.refused)),
        explains=("reach.full",),
        subjects=(Subject(kind="login", value=instance.address),),
        measures=measures,
    )
