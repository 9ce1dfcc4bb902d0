"""Who really holds a PostgreSQL session that comes by way of PgBouncer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from backend_doctor.backends.pgbouncer.sockets import Client, Clients, Servers, clients_behind
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.facts import Each, Looks
from backend_doctor.model import Evidence

_ADDRESSES = 3
_HOLDERS = 4


def kept(looks: Looks[Sessions]) -> list[Session]:
    """The sessions that stayed as they were from look to look, so that nobody else had them."""
    before = looks.first.by_pid()
    return [
        session
        for session in looks.last.clients
        if session.pid in before and session.same_stay(before[session.pid])
    ]


def clients_through(
    sessions: Iterable[Session], clients: Each[Clients], servers: Each[Servers]
) -> dict[int, Client]:
    """The clients that the service's PgBouncers serve by these sessions, by process id.

    A process id alone may be another server's, so that the client's port must fit too. Give it
    sessions that stayed as they were: with the next transaction a connection is another's.
    """
    found = {}
    by_pid = {session.pid: session for session in sessions}
    for name, seen in clients.items():
        ends = servers.get(name)
        if not isinstance(seen, Clients) or not isinstance(ends, Servers):
            continue
        ports = {server.pid: server.local_port for server in ends.servers}
        for pid, client in clients_behind(seen, ends).items():
            session = by_pid.get(pid)
            if session is not None and session.port == ports[pid]:
                found[pid] = client
    return found


def held_through(
    sessions: Iterable[Session], clients: Each[Clients], servers: Each[Servers]
) -> Iterator[Evidence]:
    """Names the clients behind a PgBouncer, by application and address; nothing where none is.

    For sessions as :func:`clients_through` takes them.
    """
    groups: dict[str, list[Client]] = defaultdict(list)
    for client in clients_through(sessions, clients, servers).values():
        groups[client.holder].append(client)
    if not groups:
        return
    largest = sorted(groups.items(), key=lambda group: len(group[1]), reverse=True)
    told = [f"{len(group)} by {holder} from {_places(group)}" for holder, group in largest]
    more = f"; {len(told) - _HOLDERS} more" if len(told) > _HOLDERS else ""
    yield Evidence(
        key="clients_through_pgbouncer",
        value=sum(map(len, groups.values())),
        text=f"held through PgBouncer: {'; '.join(told[:_HOLDERS])}{more}",
        source="SHOW SERVERS remote_pid and link, SHOW CLIENTS",
    )


def _places(group: list[Client]) -> str:
    more = f" and {len(group) - _ADDRESSES} more" if len(group) > _ADDRESSES else ""
    return ", ".join(client.place for client in group[:_ADDRESSES]) + more
