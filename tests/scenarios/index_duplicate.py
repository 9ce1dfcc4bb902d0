"""A large table has the same index twice."""

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace


class IndexDuplicate(PostgresFault):
    """Two equal indexes, or one beside a unique constraint's; the twin's two differ in order, in
    predicate or in the second column."""

    truth = "S22"

    async def inject(self, place: PostgresPlace) -> None:
        column = place.names.column
        await _furnish(place, f"USING btree ({column} ASC)")

    async def inject_twin(self, place: PostgresPlace) -> None:
        column = place.names.column
        other = place.random.choice(
            (f"({column} DESC)", f"({column}, id)", f"({column}) WHERE id > 9")
        )
        await _furnish(place, other)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await asyncpg.connect(place.server.admin_url(place.names.database))
        try:
            sizes = await admin.fetch(
                "SELECT relname, pg_relation_size(oid) AS bytes FROM pg_class"
                " WHERE relname = ANY ($1) ORDER BY relname",
                _indexes(place),
            )
        finally:
            await admin.close()
        return {
            "twin_names": [row["relname"] for row in sizes],
            "indexed_table": [f"public.{_table(place)}"],
            "index_bytes": [row["bytes"] for row in sizes],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless({"both are large": min(facts["index_bytes"]) > 2**20})


def _table(place: PostgresPlace) -> str:
    return f"{place.names.table}_history"


def _indexes(place: PostgresPlace) -> list[str]:
    return [f"{place.names.quiet_table}_by_{place.names.column}", f"ix_{_table(place)}"]


async def _furnish(place: PostgresPlace, on: str) -> None:
    table, rows = _table(place), place.random.randint(80_000, 120_000)
    column, (first, second) = place.names.column, _indexes(place)
    owner = await asyncpg.connect(place.url())
    try:
        await owner.execute(
            f"CREATE TABLE {table} AS SELECT id, id AS {column}"
            f" FROM generate_series(1, {rows}) AS id"
        )
        await owner.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {first} UNIQUE ({column})"
            if place.variant
            else f"CREATE INDEX {first} ON {table} ({column})"
        )
        await owner.execute(f"CREATE INDEX {second} ON {table} {on}")
        await owner.execute(f"ANALYZE {table}")
    finally:
        await owner.close()


SCENARIO = Scenario("S22", (Placement(IndexDuplicate()),))
