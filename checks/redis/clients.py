from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
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
    fleet_of,
)
from backend_doctor.backends.redis.clients import Clients, Holding
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.redis.peers import SocketPeers
from backend_doctor.backends.redis.remedies import (
    close_idle,
    close_what_idles,
    find_peers,
    look_at_clients,
    share_a_pool,
    show_clients,
    take_more_clients,
)


def _leak(
    holdings: list[Holding], limits: ClientLimits, group_share: float, idle_share: float
) -> Holding | None:
    """The holder of most idle clients, where it fills the server and does not use it."""
    limit = limits.maxclients or limits.used or 1
    leaks = [
        holding
        for holding in holdings
        if holding.total >= group_share * limit and holding.idle_share >= idle_share
    ]
    return max(leaks, key=lambda holding: len(holding.idle), default=None)


def _limit_evidence(limits: ClientLimits, refused: int, seconds: float) -> Iterator[Evidence]:
    if limits.used is not None:
        yield Evidence(
            key="used_clients",
            value=limits.used,
            text=limits.text,
            source="socket table" if limits.refused else "INFO connected_clients, maxclients",
        )
    if limits.refused:
        yield Evidence(
            key="refused",
            value=True,
            text="our own login was refused: max number of clients reached",
            source="login",
        )
    elif limits.rejections:
        yield Evidence(
            key="refused_clients",
            value=refused,
            text=f"{refused} clients were refused within {seconds:.1f} s, "
            f"{limits.rejections} since the server's start {limits.uptime} s ago",
            source="INFO rejected_connections",
        )


def _holder_evidence(holding: Holding, leaking: bool) -> Iterator[Evidence]:
    hosts = ", ".join(f"{host} ({count})" for host, count in holding.hosts[:5])
    more = f" and {len(holding.hosts) - 5} more" if len(holding.hosts) > 5 else ""
    yield Evidence(
        key="clients_of_holder",
        value=holding.total,
        text=f"{holding.holder} holds {holding.total} clients, from {hosts}{more}",
        source="CLIENT LIST name, lib-name, addr",
    )
    idles = [seconds for _, seconds in holding.idle]
    spell = f", the longest for {max(idles)} s" if idles else ""
    never = f"; {holding.never_used} were never used after connecting" if leaking else ""
    last = f"; last commands: {', '.join(holding.commands)}" if holding.commands else ""
    yield Evidence(
        key="idle_clients_of_holder",
        value=len(holding.idle),
        text=f"{len(holding.idle)} of them idle{spell}{never}{last}",
        source="CLIENT LIST age, idle, cmd",
    )


def _because(limits: ClientLimits, top: Holding | None, leak: Holding | None) -> str:
    if leak:
        return f"{leak.holder} opens connections and neither uses nor closes them"
    if top:
        return (
            "no single holder leaves its clients idle: the load, or the sum of all pools, is "
            "larger than the limit"
        )
    if limits.refused:
        return "maxclients is reached; as nobody is let in, what the clients do cannot be seen"
    return "maxclients is near; CLIENT LIST could not be read, so who holds them is not known"


def _demand_evidence(
    service: Service, instance: Instance, limits: ClientLimits
) -> Iterator[Evidence]:
    fleet = fleet_of(service, instance)
    if fleet.demand:
        limit = f"; maxclients is {limits.maxclients}" if limits.maxclients else ""
        yield Evidence(
            key="declared_connections",
            value=fleet.demand,
            text=f"{fleet.text}{limit}",
            source="configuration",
        )


def _peer_evidence(peers: SocketPeers) -> Iterator[Evidence]:
    for peer in peers.peers[:3]:
        yield Evidence(
            key="connections_of_peer",
            value=peer.connections,
            text=f"{peer.connections} of {peers.total} connections are from {peer.text}",
            source="socket table",
        )


def _remedies(
    limits: ClientLimits,
    instance: Instance,
    top: Holding | None,
    leak: Holding | None,
    peers: SocketPeers | None,
) -> Iterator[Remedy]:
    if limits.refused:
        processes = [peer.text for peer in peers.peers if peer.pid] if peers else []
        yield from find_peers(instance, processes)
    elif leak:
        yield close_idle(leak, instance)
    if top:
        yield look_at_clients(leak or top, instance)
    elif not limits.refused:
        yield show_clients(instance.user or "default")
    holder = leak or top
    yield share_a_pool(
        holder.holder if holder else "the application",
        instance.number("max_connections") or 10,
    )
    yield close_what_idles()
    if limits.maxclients and top and not leak:
        yield take_more_clients(limits.maxclients)


def _holdings(
    listed: Clients | None, looks: Looks[Clients] | None, idle_seconds: float
) -> list[Holding]:
    if looks:
        # a second less: the server counts whole seconds
        return looks.last.holdings(max(1.0, int(looks.seconds) - 1.0), looks.first)
    return listed.holdings(idle_seconds) if listed else []


def _measure(limits: ClientLimits, warning: float, critical: float) -> Iterator[Measure]:
    most = limits.maxclients
    if limits.used is not None:
        yield Measure(
            name="used_clients",
            value=limits.used,
            warning=int(warning * most) if most else None,
            critical=int(critical * most) if most else None,
            maximum=most,
        )


def _summary(limits: ClientLimits, refused: int, holder: Holding | None) -> str:
    state = limits.text[0].upper() + limits.text[1:]
    who = f", {holder.total} by {holder.holder} ({len(holder.idle)} idle)" if holder else ""
    turned = f"; {refused} more were refused meanwhile" if refused else ""
    return f"{state}{who}{turned}."


@check
def clients(
    limits: ClientLimits,
    limit_looks: Looks[ClientLimits] | None,
    listed: Clients | None,
    list_looks: Looks[Clients] | None,
    peers: SocketPeers | None,
    service: Service,
    instance: Instance,
    *,
    warning: float = 0.8,
    critical: float = 0.95,
    group_share: float = 0.5,
    idle_share: float = 0.8,
    idle_seconds: float = 60.0,
) -> Iterator[Finding]:
    """The server has no room, or soon none, for another client: says who holds the clients.

    ``warning`` and ``critical`` are shares of maxclients. A holder leaks when it has
    ``group_share`` of maxclients and ``idle_share`` of its clients idled through both looks,
    or for ``idle_seconds`` where there was only one.
    """
    refused, seconds = 0, 0.0
    if limit_looks:
        refused = max(0, limit_looks.last.rejections - limit_looks.first.rejections)
        seconds = limit_looks.seconds
    demand = tuple(_demand_evidence(service, instance, limits))
    measures = tuple(_measure(limits, warning, critical))
    if not (limits.refused or refused or limits.share >= warning):
        yield Finding(
            status=Status.OK, summary=f"{limits.text}.", evidence=demand, measures=measures
        )
        return
    holdings = _holdings(listed, list_looks, idle_seconds)
    top = holdings[0] if holdings else None
    leak = _leak(holdings, limits, group_share, idle_share)
    holder = leak or top
    certain = bool(limits.refused or refused or limits.share >= critical)
    yield Finding(
        status=Status.CRITICAL if certain else Status.WARNING,
        summary=_summary(limits, refused, holder),
        evidence=(
            *_limit_evidence(limits, refused, seconds),
            *(_holder_evidence(holder, leaking=bool(leak)) if holder else ()),
            *(_peer_evidence(peers) if peers else ()),
            *demand,
        ),
        cause=Cause(
            label="redis.maxclients",
            confidence=Confidence.CERTAIN if certain else Confidence.LIKELY,
            because=_because(limits, top, leak),
        ),
        remedies=tuple(_remedies(limits, instance, top, leak, peers)),
        explains=("reach.full",),
        subjects=(
            *((Subject(kind="application", value=holder.holder),) if holder else ()),
            Subject(kind="login", value=instance.address),
        ),
        measures=measures,
    )
