"""What is read over and over is larger than the memory that is left for it."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

ROWS = 400_000
AT_ONCE = 60
OWNERS = ROWS // AT_ONCE
SESSIONS = 3
_READS = """
SELECT sum(blks_read)::int8 AS blocks, sum(blk_read_time)::float8 AS read_ms,
       sum(active_time)::float8 AS active_ms, extract(epoch FROM clock_timestamp())::float8 AS at
  FROM pg_stat_database
"""


class CacheWorkingSet(PostgresFault):
    """Random rows of 90 MB with 16 MB of buffers, by their ids or by an owner whose rows lie
    scattered, and the system's cache is taken away; the twin reads the same from that cache."""

    truth = "S15"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {
            "shared_preload_libraries": "pg_stat_statements",
            "track_io_timing": "on",
            # else reads of PostgreSQL 18 wait for its I/O workers, and on a busy machine for long
            "effective_io_concurrency": 0,
        }

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": SESSIONS}

    async def inject(self, place: PostgresPlace) -> None:
        files = await _furnish(place)
        place.run(_take_memory(files))
        self._read(place)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _furnish(place)
        self._read(place)

    def _read(self, place: PostgresPlace) -> None:
        for _ in range(SESSIONS):
            place.run(_lookups(place))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        (first,) = await admin.fetch(_READS)
        await asyncio.sleep(2)
        (last,) = await admin.fetch(_READS)
        ids = await admin.fetch(
            "SELECT queryid::text AS id FROM pg_stat_statements WHERE query LIKE $1",
            f"SELECT sum(length(label)) FROM {_table(place)} %",
        )
        grown = {name: last[name] - first[name] for name in ("blocks", "read_ms", "active_ms")}
        return {
            "read_bytes_per_second": [grown["blocks"] * 8192 / (last["at"] - first["at"])],
            "read_time_share": [min(1.0, grown["read_ms"] / max(1.0, grown["active_ms"]))],
            "block_ms": [grown["read_ms"] / max(1, grown["blocks"])],
            "reading_query_ids": [row["id"] for row in ids],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        slow = min(facts["block_ms"]) >= 0.07 and min(facts["read_time_share"]) >= 0.6
        return unless(
            {
                "much is read": min(facts["read_bytes_per_second"]) >= 7 * 1024**2,
                "from a disk or not": max(facts["block_ms"]) < 0.04 if twin else slow,
            }
        )


def _table(place: PostgresPlace) -> str:
    return f"{place.names.table}_history"


async def _furnish(place: PostgresPlace) -> list[Path]:
    """The large table; returns its files and those of its indexes, all of them on the disk."""
    admin = await asyncpg.connect(place.server.admin_url(place.names.database))
    owner = await asyncpg.connect(place.url())
    try:
        await admin.execute("CREATE EXTENSION pg_stat_statements")
        table = _table(place)
        await owner.execute(
            f"CREATE TABLE {table} AS SELECT id, repeat('x', 180) AS label, id % {OWNERS} AS owner"
            f" FROM generate_series(1, {ROWS}) AS id"
        )
        await owner.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
        await owner.execute(f"CREATE INDEX {table}_owner ON {table} (owner)")
        await owner.execute(f"VACUUM ANALYZE {table}")
        await admin.execute("CHECKPOINT")
        names = await admin.fetch(
            "SELECT pg_relation_filepath(oid) AS path FROM pg_class WHERE relname = ANY($1)",
            [table, f"{table}_pkey", f"{table}_owner"],
        )
    finally:
        await owner.close()
        await admin.close()
    return [place.server.data / row["path"] for row in names]


async def _take_memory(files: list[Path]) -> None:
    """What another program that needs the memory does to the system's cache."""
    opened = [os.open(path, os.O_RDWR) for path in files]
    try:
        for one in opened:
            await asyncio.to_thread(os.fsync, one)
        while True:
            for one in opened:
                await asyncio.to_thread(os.posix_fadvise, one, 0, 0, os.POSIX_FADV_DONTNEED)
            await asyncio.sleep(0.02)
    finally:
        for one in opened:
            os.close(one)


async def _lookups(place: PostgresPlace) -> None:
    connection = await place.connect(place.names.application)
    sought = "owner = $1" if place.variant else "id = ANY($1::int[])"
    statement = f"SELECT sum(length(label)) FROM {_table(place)} WHERE {sought}"
    while True:
        rows = [place.random.randint(1, ROWS) for _ in range(AT_ONCE)]
        await connection.fetchval(statement, rows[0] % OWNERS if place.variant else rows)
        await asyncio.sleep(0.005)


SCENARIO = Scenario("S15", (Placement(CacheWorkingSet()),))
