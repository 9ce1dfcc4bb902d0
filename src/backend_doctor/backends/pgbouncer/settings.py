"""What this PgBouncer allows: its settings, its databases, and the clients it counts."""

from collections.abc import Mapping
from typing import Self

import msgspec

from backend_doctor.backends.pgbouncer.connection import ConsoleConnection
from backend_doctor.backends.pgbouncer.pools import CONSOLE
from backend_doctor.backends.pgbouncer.rows import number
from backend_doctor.facts import Fact


class Settings(Fact, frozen=True):
    """The settings in force that bound clients and pools. Times in seconds, 0 for no limit."""

    max_client_conn: int
    pool_size: int = 0
    reserve_pool: int = 0
    max_db_connections: int = 0
    max_user_connections: int = 0
    query_wait_timeout: int = 0
    pool_mode: str = ""

    @classmethod
    async def collect(cls, console: ConsoleConnection) -> Self:
        """One SHOW CONFIG."""
        rows = await console.show("CONFIG")
        values = {row.get("key", ""): row.get("value", "") for row in rows}
        return cls(
            max_client_conn=number(values, "max_client_conn"),
            pool_size=number(values, "default_pool_size"),
            reserve_pool=number(values, "reserve_pool_size", "reserve_pool"),
            max_db_connections=number(values, "max_db_connections"),
            max_user_connections=number(values, "max_user_connections"),
            query_wait_timeout=number(values, "query_wait_timeout"),
            pool_mode=values.get("pool_mode", ""),
        )


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """One row of SHOW DATABASES: a name that clients use, and the server it leads to.

    ``host`` is "" for a unix socket; ``database`` is the name there. ``max_connections`` bounds
    the connections of all its pools together, 0 for no bound. ``pool_mode`` is its own, "" where
    that of PgBouncer holds.
    """

    name: str
    host: str = ""
    port: int = 0
    database: str = ""
    pool_size: int = 0
    reserve_pool: int = 0
    max_connections: int = 0
    connections: int = 0
    paused: bool = False
    pool_mode: str = ""

    @property
    def size(self) -> int:
        """Server connections that one of its pools may have, the reserve left out."""
        return min(self.pool_size, self.max_connections or self.pool_size)

    @property
    def most(self) -> int:
        """Server connections that one of its pools may have, the reserve included."""
        most = self.pool_size + self.reserve_pool
        return min(most, self.max_connections or most)


def _database(row: Mapping[str, str]) -> Database:
    return Database(
        name=row.get("name", ""),
        host=row.get("host", ""),
        port=number(row, "port"),
        database=row.get("database", ""),
        pool_size=number(row, "pool_size"),
        reserve_pool=number(row, "reserve_pool_size", "reserve_pool"),
        max_connections=number(row, "max_connections"),
        connections=number(row, "current_connections"),
        paused=bool(number(row, "paused")),
        pool_mode=row.get("pool_mode", ""),
    )


class Databases(Fact, frozen=True):
    """The databases that clients have used or that are configured, the console left out."""

    databases: tuple[Database, ...]

    def by_name(self) -> dict[str, Database]:
        """The databases by the name that clients use."""
        return {database.name: database for database in self.databases}

    @classmethod
    async def collect(cls, console: ConsoleConnection) -> Self:
        """One SHOW DATABASES."""
        rows = map(_database, await console.show("DATABASES"))
        return cls(databases=tuple(one for one in rows if one.name != CONSOLE))


class ClientCount(Fact, frozen=True):
    """Connected clients as PgBouncer holds them against max_client_conn, ours left out."""

    used: int

    @classmethod
    async def collect(cls, console: ConsoleConnection) -> Self:
        """One SHOW LISTS."""
        items = {row.get("list", ""): row.get("items", "") for row in await console.show("LISTS")}
        used, login = number(items, "used_clients"), number(items, "login_clients")
        return cls(used=max(0, used + login - 1))
