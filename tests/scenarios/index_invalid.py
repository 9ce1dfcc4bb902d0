"""An index was never finished, and stayed."""

import asyncio
from contextlib import suppress

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace, Session

_INVALID = """
SELECT i.indexrelid::regclass::text AS index, 'public.' || i.indrelid::regclass AS indexed,
       EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
         AS is_built
  FROM pg_index i WHERE NOT i.indisvalid
"""


class IndexInvalid(PostgresFault):
    """Its build ran into a timeout while it waited for an old transaction, or found that rows are
    not unique (variant 1); the twin's is still being built, or it waits for its partitions."""

    truth = "S35"

    async def inject(self, place: PostgresPlace) -> None:
        names = place.names
        migration = await place.connect(names.jobs[0])
        unique = "UNIQUE" if place.variant else ""
        create = f"CREATE {unique} INDEX CONCURRENTLY {_index(place)} ON {names.table}"
        if place.variant:
            with suppress(asyncpg.UniqueViolationError):
                await migration.execute(f"{create} ({names.column})")
            return
        old = await place.connect(names.jobs[1])
        async with old.transaction():
            await old.execute(f"DELETE FROM {names.table} WHERE id = 1")
            await migration.execute("SET statement_timeout = '500ms'")
            with suppress(asyncpg.QueryCanceledError):
                await migration.execute(f"{create} ({names.column})")

    async def inject_twin(self, place: PostgresPlace) -> None:
        names = place.names
        migration = await place.connect(names.jobs[0])
        if place.variant:
            table = f"{names.table}_by_month"
            await migration.execute(
                f"CREATE TABLE {table} ({names.column} int, day date) PARTITION BY RANGE (day);"
                f"CREATE TABLE {table}_1 PARTITION OF {table}"
                " FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
                f"CREATE INDEX {_index(place)} ON ONLY {table} ({names.column})"
            )
            return
        place.run(_build_for_long(place, migration))
        await asyncio.sleep(0.5)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        rows = await (await place.oracle.connection()).fetch(_INVALID)
        return {
            "index": [row["index"] for row in rows],
            "indexed_table": [row["indexed"] for row in rows],
            "indexed_column": [place.names.column],
            "being_built": [row["is_built"] for row in rows],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        built = twin and not place.variant
        return unless(
            {
                "it is invalid": facts["index"] == [_index(place)],
                "it is being built or not": facts["being_built"] == [built],
            }
        )


def _index(place: PostgresPlace) -> str:
    return f"{place.names.table}_{place.names.column}_idx"


async def _build_for_long(place: PostgresPlace, migration: Session) -> None:
    names = place.names
    await migration.execute(
        "CREATE FUNCTION rounded(int) RETURNS int IMMUTABLE LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM pg_sleep(0.05); RETURN $1 / 10; END'"
    )
    await migration.execute(
        f"CREATE INDEX CONCURRENTLY {_index(place)} ON {names.table} (rounded({names.column}))",
        timeout=600,
    )


SCENARIO = Scenario("S35", (Placement(IndexInvalid()),))
