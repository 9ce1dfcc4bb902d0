"""Every request reads the same small table, or two of them, which nobody writes."""

import asyncio
from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

READERS = 4


class CacheableReads(PostgresFault):
    """Advice and no alarm; in the twin a table is written all the time: not even advice."""

    truth = "S17"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"shared_preload_libraries": "pg_stat_statements"}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": READERS + 1}

    async def inject(self, place: PostgresPlace) -> None:
        await _furnish(place)
        for _ in range(READERS):
            place.run(_read(place))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self.inject(place)
        place.run(_write(place))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(
            "SELECT queryid::text AS id, calls FROM pg_stat_statements WHERE query = $1",
            _statement(place),
        )
        writes = await admin.fetchval(
            "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = $1", _tables(place)[-1]
        )
        return {
            # whatever is named in the twin is wrong
            "cacheable_query_ids": ["none"] if twin else [row["id"] for row in rows],
            "cacheable_tables": ["none"] if twin else [", ".join(_tables(place))],
            "reads": [row["calls"] for row in rows],
            "writes": [writes],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        reads, writes = max(facts["reads"], default=0), max(facts["writes"])
        return unless(
            {
                "it is read often": reads >= 100,
                "and written or not": writes >= reads / 40 if twin else writes == 0,
            }
        )


def _table(place: PostgresPlace) -> str:
    return f"{place.names.table}_settings"


def _tables(place: PostgresPlace) -> list[str]:
    """Those that are read; in the twin the last of them is written."""
    return [_table(place), *([f"{_table(place)}_default"] if place.variant else [])]


def _statement(place: PostgresPlace) -> str:
    by_key = " WHERE id = $1" if place.seed % 2 else ""
    return f"SELECT id, value FROM {' NATURAL JOIN '.join(_tables(place))}{by_key}"


async def _furnish(place: PostgresPlace) -> None:
    admin = await asyncpg.connect(place.server.admin_url(place.names.database))
    owner = await asyncpg.connect(place.url())
    try:
        await admin.execute("CREATE EXTENSION pg_stat_statements")
        for table in _tables(place):
            await owner.execute(
                f"CREATE TABLE {table} AS SELECT id, 'on' AS value"
                " FROM generate_series(1, 20) AS id"
            )
            await owner.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
    finally:
        await admin.close()
        await owner.close()


async def _read(place: PostgresPlace) -> None:
    connection = await place.connect(place.names.application)
    while True:
        arguments = (place.random.randint(1, 20),) if place.seed % 2 else ()
        await connection.fetch(_statement(place), *arguments)
        await asyncio.sleep(0.02)


async def _write(place: PostgresPlace) -> None:
    connection = await place.connect(place.names.other)
    while True:
        await connection.execute(f"UPDATE {_tables(place)[-1]} SET value = 'off' WHERE id = $1", 3)
        await asyncio.sleep(0.05)


SCENARIO = Scenario("S17", (Placement(CacheableReads()),))
