"""A large table is filtered by a column without an index."""

import asyncio
from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

LARGE = 300_000
SMALL = 200
EACH = 30
SESSIONS = 3


class QueryMissingIndex(PostgresFault):
    """300,000 rows read for 30; the twin reads 200 rows, and most of a large table."""

    truth = "S01"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"shared_preload_libraries": "pg_stat_statements"}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": SESSIONS + 1}

    async def inject(self, place: PostgresPlace) -> None:
        await _furnish(place)
        for _ in range(SESSIONS):
            place.run(_filter(place, _large(place), place.names.column, 0.05))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _furnish(place)
        for _ in range(SESSIONS):
            place.run(_filter(place, _small(place), place.names.column, 0.02))
        place.run(_count_most(place))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(
            "SELECT s.calls, s.mean_exec_time AS ms FROM pg_stat_statements s"
            " WHERE s.query LIKE $1",
            f"SELECT count(label) FROM {_small(place) if twin else _large(place)} WHERE%",
        )
        scans = await admin.fetchval(
            "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = $1",
            _small(place) if twin else _large(place),
        )
        return {
            "slow_table": [f"public.{_large(place)}"],
            "slow_column": [place.names.column],
            "slow_table_rows": [LARGE],
            "rows_thrown_away": [LARGE - EACH, LARGE],
            "calls": [row["calls"] for row in rows],
            "mean_ms": [row["ms"] for row in rows],
            "sequential_scans": [scans],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        mean = max(facts["mean_ms"], default=0.0)
        return unless(
            {
                "the statement runs": max(facts["calls"], default=0) >= 20,
                "by sequential scans": max(facts["sequential_scans"]) >= 20,
                "slowly or not": mean < 10 if twin else mean > 12,
            }
        )


def _large(place: PostgresPlace) -> str:
    return f"{place.names.table}_history"


def _small(place: PostgresPlace) -> str:
    return f"{place.names.table}_kinds"


async def _furnish(place: PostgresPlace) -> None:
    """A large and a small table, without an index but that of their keys."""
    admin = await asyncpg.connect(place.server.admin_url(place.names.database))
    try:
        await admin.execute("CREATE EXTENSION pg_stat_statements")
    finally:
        await admin.close()
    owner = await asyncpg.connect(place.url())
    try:
        for table, rows in ((_large(place), LARGE), (_small(place), SMALL)):
            await owner.execute(
                f"CREATE TABLE {table} AS SELECT id, id % {LARGE // EACH} AS {place.names.column},"
                f" id % 10 AS kind, repeat('x', 60) AS label FROM generate_series(1, {rows}) AS id"
            )
            await owner.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
            await owner.execute(f"VACUUM ANALYZE {table}")
    finally:
        await owner.close()


async def _filter(place: PostgresPlace, table: str, column: str, pause: float) -> None:
    connection = await place.connect(place.names.application)
    statement = f"SELECT count(label) FROM {table} WHERE {column} = $1"
    while True:
        await connection.fetchval(statement, place.random.randint(1, LARGE // EACH - 1))
        await asyncio.sleep(pause)


async def _count_most(place: PostgresPlace) -> None:
    connection = await place.connect(place.names.application)
    while True:
        await connection.fetchval(f"SELECT count(label) FROM {_large(place)} WHERE kind < $1", 6)
        await asyncio.sleep(0.3)


SCENARIO = Scenario("S01", (Placement(QueryMissingIndex()),))
