"""Who really holds a PostgreSQL session that comes by way of PgBouncer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from backend_doctor.backends.pgbouncer.sockets import Client, Clients, Servers, clients_behind
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.facts import Each, Looks
from backend_doctor.model import Evidence, Finding

_ADDRESSES = 3
_HOLDERS = 4


def kept(sessions: Iterable[Session], looks: Looks[Sessions] | None) -> list[Session]:
    """Those that stayed in one state, or in one transaction, from look to look, so that nobody
    else had them; none where there was one look only."""
    seen = [looks.first.by_pid(), looks.last.by_pid()] if looks else []
    return [
        session
        for session in sessions
        if seen and all(_same_client(session, look.get(session.pid)) for look in seen)
    ]


def _same_client(session: Session, other: Session | None) -> bool:
    if other is None:
        return False
    return session.same_stay(other) or session.same_transaction(other)


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


def with_clients(
    finding: Finding, sessions: Iterable[Session], clients: Each[Clients], servers: Each[Servers]
) -> Finding:
    """The finding with :func:`held_through` as its last evidence."""
    named = held_through(sessions, clients, servers)
    return msgspec.structs.replace(finding, evidence=(*finding.evidence, *named))


def _places(group: list[Client]) -> str:
    more = f" and {len(group) - _ADDRESSES} more" if len(group) > _ADDRESSES else ""
    return ", ".join(client.place for client in group[:_ADDRESSES]) + more
