"""Independent eyes: the superuser's own client, which knows nothing of the project's code.

A reading maps a fact's name to what was seen. The facts of a span are all readings of it, from
before the doctor looked and from after, so a true statement lies within them.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
from redis.asyncio import Redis

if TYPE_CHECKING:
    from asyncpg import Connection

Facts = dict[str, list[Any]]

_SESSIONS = """
SELECT pid, application_name AS application, usename AS role, state, wait_event_type AS waits,
       state_change, query,
       extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_age,
       CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END AS blockers,
       (SELECT count(*) FROM pg_locks l
         WHERE l.pid = a.pid AND l.granted AND l.locktype <> 'virtualxid')::int AS locks,
       (SELECT min(relation::regclass::text) FROM pg_locks l
         WHERE l.pid = a.pid AND wait_event_type = 'Lock'
           AND (NOT l.granted OR l.locktype = 'tuple')) AS wanted
  FROM pg_stat_activity a
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND application_name <> 'backend-doctor'
"""
_SERVER = """
SELECT current_setting('max_connections')::int AS max_connections,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int AS usable_slots,
       (SELECT sum(sessions)::int8 FROM pg_stat_database) AS sessions,
       (SELECT sum(xact_commit + xact_rollback)::int8 FROM pg_stat_database) AS transactions
"""

Row = Mapping[str, Any]


class PostgresOracle:
    """Looks at one PostgreSQL as its superuser; gone again while the doctor looks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection[Any] | None = None

    async def connection(self) -> "Connection[Any]":
        """The superuser's connection, opened when first asked for."""
        if self._connection is None or self._connection.is_closed():
            settings = {"application_name": "psql"}
            self._connection = await asyncpg.connect(self._url, server_settings=settings)
        return self._connection

    async def leave(self) -> None:
        """Gives the slot back."""
        if self._connection is not None:
            await self._connection.close()

    async def sessions(self) -> Sequence[Row]:
        """All client sessions but the oracle's own and the doctor's."""
        rows: Sequence[Row] = await (await self.connection()).fetch(_SESSIONS)
        return rows

    async def server(self) -> Row:
        """Limits and cumulative counters, with the time they were read at."""
        row = await (await self.connection()).fetchrow(_SERVER)
        return {**dict(row or {}), "at": time.monotonic()}

    async def look(self, seconds: float = 0.6, times: int = 6) -> list[Sequence[Row]]:
        """Several readings of the sessions over a short span."""
        readings = []
        for _ in range(times):
            readings.append(await self.sessions())
            await asyncio.sleep(seconds / times)
        return readings


async def until_true(connection: "Connection[Any]", sql: str, seconds: float = 15.0) -> None:
    """Waits until a statement says yes. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if await connection.fetchval(sql):
                return
            await asyncio.sleep(0.1)


def session_facts(readings: Sequence[Sequence[Row]]) -> Facts:
    """What any check may say of the sessions, by the name that truth.yaml uses.

    Stuck is who stood in the same stay of the same state in the first and the last reading.
    """

    def stays(rows: Sequence[Row]) -> set[tuple[int, object]]:
        return {(row["pid"], row["state_change"]) for row in rows}

    facts: Facts = {}
    stayed = stays(readings[0]) & stays(readings[-1])
    for rows in readings:
        for name, seen in _reading(rows, stayed).items():
            facts.setdefault(name, []).extend(seen)
    return facts


def _reading(rows: Sequence[Row], stayed: set[tuple[int, object]]) -> Facts:
    idlers = [row for row in rows if (row["state"] or "").startswith("idle in transaction")]
    waiting = [row for row in rows if row["waits"] == "Lock"]
    stuck = [row for row in idlers if (row["pid"], row["state_change"]) in stayed]
    waiters = {row["pid"] for row in waiting}
    tables = {row["wanted"] for row in waiting if row["wanted"]}
    heads = {pid for row in waiting for pid in row["blockers"]} - waiters
    altering = [row["pid"] for row in waiting if row["query"].startswith("ALTER")]
    return {
        "used_slots": [len(rows)],
        "idle_connections": [sum(row["state"] == "idle" for row in rows)],
        "idle_in_transaction": [len(idlers)],
        "pids_in_transaction": [row["pid"] for row in rows if row["state"] != "idle"],
        "idle_in_transaction_seconds": [row["state_age"] for row in idlers],
        "stuck_in_transaction": [len(stuck)],
        "stuck_with_locks": [sum(row["locks"] > 0 for row in stuck)],
        "stuck_applications": [row["application"] for row in stuck],
        "stuck_pids": [row["pid"] for row in stuck],
        "waiting_for_locks": [len(waiting)],
        "waiting_ddl_pids": altering,
        "wanted_tables": [*tables, *(f"public.{table}" for table in tables)],
        "lock_heads": [*heads],
        "queue_makers": [*heads, *altering],
        "applications": [*{row["application"] for row in rows}],
    }


def rate_facts(first: Row, last: Row) -> Facts:
    """Rates between two readings of the server's counters."""
    opened = last["sessions"] - first["sessions"]
    ended = last["transactions"] - first["transactions"]
    return {
        "max_connections": [last["max_connections"]],
        "usable_slots": [last["usable_slots"]],
        "new_sessions_per_second": [opened / (last["at"] - first["at"])],
        "transactions_per_session": [ended / max(1, opened)],
    }


class RedisOracle:
    """Looks at one Redis as its default user over one connection that stays when told to."""

    def __init__(self, url: str) -> None:
        self._client: Redis = Redis.from_url(url, client_name="redis-cli", max_connections=1)

    async def leave(self) -> None:
        """Gives the connection back."""
        await self._client.aclose()

    async def clients(self) -> int:
        """How many clients there are, the oracle's own connection included."""
        return int((await self._client.info("clients"))["connected_clients"])

    async def facts(self) -> Facts:
        """Clients by the numbers of the server itself."""
        clients = await self._client.info("clients")
        stats = await self._client.info("stats")
        rows = await self._client.client_list()
        # the busy reader's loop may stall for a second on a machine with two cores
        idle = [row["name"] for row in rows if int(row["idle"]) >= 2]
        facts: Facts = {
            "connected_clients": [int(clients["connected_clients"])],
            "maxclients": [int(clients["maxclients"])],
            "rejected_connections": [int(stats["rejected_connections"])],
            "idle_clients": [len(idle)],
            "idle_names": idle,
        }
        return facts


def merged(*parts: Facts) -> Facts:
    """All readings together."""
    facts: Facts = {}
    for part in parts:
        for name, seen in part.items():
            facts.setdefault(name, []).extend(seen)
    return facts
