"""Independent eyes: the superuser's own client, which knows nothing of the project's code.

A reading maps a fact's name to what was seen. The facts of a span are all readings of it, from
before the doctor looked and from after, so a true statement lies within them.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
from redis.asyncio import Redis

if TYPE_CHECKING:
    from asyncpg import Connection

Seen = str | int | float
Facts = dict[str, list[Seen]]

_SESSIONS = """
SELECT pid, application_name AS application, usename AS role, state, wait_event_type AS waits,
       state_change, xact_start, backend_start, clock_timestamp() AS now,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS idle_for,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_age,
       CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END AS blockers,
       (SELECT count(*) FROM pg_locks l
         WHERE l.pid = a.pid AND l.granted AND l.locktype <> 'virtualxid')::int AS locks
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


def session_facts(readings: Iterable[Sequence[Row]]) -> Facts:
    """What any check may say of the sessions, by the name that truth.yaml uses."""
    facts: Facts = {}
    readings = list(readings)
    moved = {(row["pid"], row["state_change"]) for row in readings[0]} if readings else set()
    for rows in readings:
        idlers = [row for row in rows if (row["state"] or "").startswith("idle in transaction")]
        waiting = [row for row in rows if row["waits"] == "Lock"]
        waiters = {row["pid"] for row in waiting}
        heads = {pid for row in waiting for pid in row["blockers"]} - waiters
        stuck = [row for row in idlers if (row["pid"], row["state_change"]) in moved]
        counts = {
            "used_slots": len(rows),
            "idle_connections": sum(row["state"] == "idle" for row in rows),
            "idle_in_transaction": len(idlers),
            "stuck_in_transaction": len(stuck),
            "stuck_with_locks": sum(row["locks"] > 0 for row in stuck),
            "waiting_for_locks": len(waiting),
        }
        for name, value in counts.items():
            facts.setdefault(name, []).append(value)
        facts.setdefault("stuck_pids", []).extend(row["pid"] for row in stuck)
        facts.setdefault("lock_heads", []).extend(heads)
        facts.setdefault("applications", []).extend({row["application"] for row in rows})
        facts.setdefault("waiting_pids", []).extend(waiters)
    return facts


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

    async def facts(self) -> Facts:
        """Clients by the numbers of the server itself."""
        clients = await self._client.info("clients")
        stats = await self._client.info("stats")
        rows = await self._client.client_list()
        names = [row["name"] for row in rows]
        facts: Facts = {
            "connected_clients": [int(clients["connected_clients"])],
            "maxclients": [int(clients["maxclients"])],
            "rejected_connections": [int(stats["rejected_connections"])],
            "client_names": [*names],
            "largest_group": [max(map(names.count, names))],
            "idle_clients": [sum(int(row["idle"]) >= 1 for row in rows)],
        }
        return facts


def merged(*parts: Facts) -> Facts:
    """All readings together."""
    facts: Facts = {}
    for part in parts:
        for name, seen in part.items():
            facts.setdefault(name, []).extend(seen)
    return facts
