"""Clients and server connections, and which of them are joined at the moment."""

from collections import Counter
from collections.abc import Mapping
from typing import Self

import msgspec

from backend_doctor.backends.pgbouncer.connection import ConsoleConnection
from backend_doctor.backends.pgbouncer.pools import CONSOLE, Pools
from backend_doctor.backends.pgbouncer.rows import number, seconds
from backend_doctor.facts import Absent, Fact

MOST_LISTED = 5000
"""Rows of SHOW CLIENTS or SHOW SERVERS that are asked for; PgBouncer has one thread."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One client. ``id`` names it while it lasts, ``server`` the connection that it has, or "".

    ``waited`` in seconds so far, for one that waits. ``application`` needs PgBouncer 1.18.
    """

    id: str
    database: str
    user: str
    state: str
    host: str = ""
    port: int = 0
    application: str = ""
    waited: float = 0.0
    server: str = ""

    @property
    def holder(self) -> str:
        """Who it is, for people: the application's name, else user and address."""
        return self.application or f"{self.user}@{self.host or 'local'}"

    @property
    def place(self) -> str:
        """Where its other end is: an address with its port, or a unix socket."""
        if not self.host or self.host.startswith("unix"):
            return "a unix socket"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One connection to PostgreSQL. ``pid`` is its process there (0 while it logs in),
    ``local_port`` what PostgreSQL sees as client_port, ``client`` whom it serves, or ""."""

    id: str
    database: str
    user: str
    state: str
    host: str = ""
    port: int = 0
    local_port: int = 0
    pid: int = 0
    client: str = ""


def _client(row: Mapping[str, str]) -> Client:
    state = row.get("state", "")
    return Client(
        id=row.get("ptr", ""),
        database=row.get("database", ""),
        user=row.get("user", ""),
        state=state,
        host=row.get("addr", ""),
        port=number(row, "port"),
        application=row.get("application_name", ""),
        waited=round(seconds(row, "wait", "wait_us"), 6) if state.startswith("waiting") else 0.0,
        server=row.get("link", ""),
    )


def _server(row: Mapping[str, str]) -> Server:
    return Server(
        id=row.get("ptr", ""),
        database=row.get("database", ""),
        user=row.get("user", ""),
        state=row.get("state", ""),
        host=row.get("addr", ""),
        port=number(row, "port"),
        local_port=number(row, "local_port"),
        pid=number(row, "remote_pid"),
        client=row.get("link", ""),
    )


class Clients(Fact, frozen=True):
    """All clients, sessions at the console left out."""

    clients: tuple[Client, ...]

    @classmethod
    async def collect(cls, console: ConsoleConnection, pools: Pools) -> Self:
        """One SHOW CLIENTS. Raises Absent where that is more than :data:`MOST_LISTED` rows."""
        if sum(pool.clients + pool.waiting for pool in pools.last) > MOST_LISTED:
            raise Absent(f"listing more than {MOST_LISTED} clients would hold PgBouncer up")
        rows = map(_client, await console.show("CLIENTS"))
        return cls(clients=tuple(one for one in rows if one.database != CONSOLE))


class Servers(Fact, frozen=True):
    """All connections to PostgreSQL."""

    servers: tuple[Server, ...]

    @classmethod
    async def collect(cls, console: ConsoleConnection, pools: Pools) -> Self:
        """One SHOW SERVERS, likewise."""
        if sum(pool.servers for pool in pools.last) > MOST_LISTED:
            raise Absent(f"listing more than {MOST_LISTED} servers would hold PgBouncer up")
        return cls(servers=tuple(map(_server, await console.show("SERVERS"))))


def clients_behind(clients: Clients, servers: Servers) -> dict[int, Client]:
    """The real client of each PostgreSQL process that serves one, by process id.

    Both lists must name each other, since they were read one after the other; a process id that
    two servers have is left out.
    """
    by_id = {client.id: client for client in clients.clients}
    seen = Counter(server.pid for server in servers.servers)
    return {
        server.pid: client
        for server in servers.servers
        if server.pid
        and seen[server.pid] == 1
        and (client := by_id.get(server.client)) is not None
        and client.server == server.id
    }
