"""What the faults of slow statements share: tables, callers, and what the oracle counts."""

import asyncio
from collections.abc import Callable, Mapping
from typing import ClassVar

import asyncpg
from tests.scenarios.frame.fault import PostgresFault, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

_COUNTED = """
SELECT calls, mean_exec_time AS ms, rows::float8 / calls AS rows,
       (shared_blks_hit + shared_blks_read)::float8 / calls AS blocks,
       8192.0::float8 * temp_blks_written / calls AS temp_bytes
  FROM pg_stat_statements WHERE query LIKE $1
"""
Arguments = Callable[[], tuple[object, ...]]


class StatementFault(PostgresFault):
    """A statement that is slow for a reason; its twin is quick, or as slow as it must be.

    ``slow`` is how many milliseconds a call takes at least; the statement begins with ``marked``.
    """

    slow: ClassVar[float] = 12.0
    sessions: ClassVar[int] = 3
    marked: ClassVar[str] = "SELECT"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {
            "shared_preload_libraries": "pg_stat_statements",
            "max_parallel_workers_per_gather": 0,
        }

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": self.sessions + 1}

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(_COUNTED, f"{self.marked}%")
        return {
            "slow_table": [f"public.{large(place)}"],
            "calls": [row["calls"] for row in rows],
            "mean_ms": [row["ms"] for row in rows],
            "rows_per_call": [row["rows"] for row in rows],
            "blocks_per_call": [row["blocks"] for row in rows],
            "temp_bytes_per_call": [row["temp_bytes"] for row in rows],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        slow = max(facts["mean_ms"], default=0.0) >= self.slow
        took = {"the statement runs": max(facts["calls"], default=0) >= 3}
        return unless(took if twin else {**took, "slowly": slow})


def large(place: PostgresPlace) -> str:
    """The name of the large table."""
    return f"{place.names.table}_history"


async def furnish(place: PostgresPlace, *statements: str) -> None:
    """The extension, then the application's tables, made by its own role."""
    admin = await asyncpg.connect(place.server.admin_url(place.names.database))
    try:
        await admin.execute("CREATE EXTENSION pg_stat_statements")
    finally:
        await admin.close()
    owner = await asyncpg.connect(place.url())
    try:
        for statement in statements:
            await owner.execute(statement)
            # else what it changed is counted after the ANALYZE that follows
            await owner.execute("SELECT pg_stat_force_next_flush()")
    finally:
        await owner.close()


async def call(
    place: PostgresPlace,
    sql: str,
    arguments: Arguments = tuple,
    *,
    pause: float = 0.05,
    prepare: str = "",
) -> None:
    """One session of the application that sends the statement again and again."""
    connection = await place.connect(place.names.application)
    if prepare:
        await connection.execute(prepare)
    while True:
        await connection.fetch(sql, *arguments())
        await asyncio.sleep(pause)
