from collections import Counter
from collections.abc import Iterator

from backend_doctor import (
    SEEN_BY_CLIENTS,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Measure,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.pgbouncer.remedies import (
    bounded_application_pools,
    more_clients,
    show,
)
from backend_doctor.backends.pgbouncer.settings import ClientCount, Settings
from backend_doctor.backends.pgbouncer.sockets import Client, Clients


def _logins(instance: Instance, clients: Clients | None) -> Iterator[Subject]:
    """The addresses at which the clients' databases log in here."""
    place = instance.address.removesuffix("/pgbouncer")
    for name in sorted({one.database for one in clients.clients} if clients else ()):
        yield Subject(kind="login", value=f"{place}/{name}")


def _holders(clients: Clients) -> list[tuple[str, list[Client]]]:
    groups: dict[str, list[Client]] = {}
    for client in clients.clients:
        groups.setdefault(client.holder, []).append(client)
    return sorted(groups.items(), key=lambda group: len(group[1]), reverse=True)


def _evidence(
    count: ClientCount, settings: Settings, holders: list[tuple[str, list[Client]]]
) -> Iterator[Evidence]:
    yield Evidence(
        key="used_clients",
        value=count.used,
        text=f"{count.used} clients are connected; max_client_conn is {settings.max_client_conn}",
        source="SHOW LISTS, SHOW CONFIG",
    )
    for holder, group in holders[:3]:
        hosts = Counter(client.host for client in group).most_common(3)
        places = ", ".join(f"{host} ({number})" for host, number in hosts)
        served = sum(bool(client.server) for client in group)
        waiting = sum(client.state.startswith("waiting") for client in group)
        yield Evidence(
            key="clients_of_holder",
            value=len(group),
            text=f"{holder} has {len(group)} of them, from {places}: {served} with a server "
            f"connection at that moment, {waiting} waiting for one, the others idle",
            source="SHOW CLIENTS",
        )


@check
def client_limit(
    count: ClientCount,
    settings: Settings,
    clients: Clients | None,
    instance: Instance,
    *,
    warning: float = 0.8,
    critical: float = 0.95,
) -> Iterator[Finding]:
    """PgBouncer takes no more clients, or soon none: says who holds the connections.

    ``warning`` and ``critical`` are shares of max_client_conn. The console lets us in all the
    same, so that we can always look.
    """
    most = settings.max_client_conn
    measure = Measure(
        name="used_clients",
        value=count.used,
        warning=int(warning * most),
        critical=int(critical * most),
        maximum=most,
    )
    share = count.used / most if most else 0.0
    text = f"{count.used} of {most} clients are connected"
    if share < warning:
        yield Finding(status=Status.OK, summary=f"{text}.", measures=(measure,))
        return
    holders = _holders(clients) if clients else []
    full = share >= critical
    reached = count.used >= most
    first = f", {len(holders[0][1])} by {holders[0][0]}" if holders else ""
    yield Finding(
        status=Status.CRITICAL if full else Status.WARNING,
        summary=f"{text}{first}{'; new ones are refused' if reached else ''}.",
        evidence=tuple(_evidence(count, settings, holders)),
        cause=Cause(
            label="pgbouncer.client_limit",
            confidence=Confidence.CERTAIN if reached else Confidence.LIKELY,
            because="the applications together open more connections to PgBouncer than "
            "max_client_conn allows"
            if reached
            else "the applications' connections come near max_client_conn",
        ),
        remedies=(
            show(instance, "CLIENTS", "shows who is connected, since when, and who waits"),
            bounded_application_pools(),
            more_clients(most),
        ),
        explains=("reach.full", *SEEN_BY_CLIENTS),
        subjects=(
            *(Subject(kind="application", value=holder) for holder, _ in holders[:5]),
            *_logins(instance, clients),
            Subject(kind="error", value="pgbouncer.client_limit"),
        ),
        measures=(measure,),
        notes=() if clients else ("who the clients are is not known: there are too many to list",),
    )
