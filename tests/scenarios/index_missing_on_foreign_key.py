"""Rows of a parent are deleted, and the large table that refers to it has no index for that."""

import asyncio

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

PARENTS = 500
DELETED = 12


class IndexMissingOnForeignKey(PostgresFault):
    """A large child without index, or with one that has the key's columns behind another; the
    twin's has one that begins with them, and its small child needs none."""

    truth = "S20"

    async def inject(self, place: PostgresPlace) -> None:
        await _furnish(place, f"id, tenant, {_column(place)}" if place.variant else "")

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _furnish(place, f"{_column(place)}, tenant")

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await asyncpg.connect(place.server.admin_url(place.names.database))
        try:
            rows = await admin.fetchval(f"SELECT count(*) FROM {_child(place)}")
            parent = f"{place.names.table}_owner"
            deletes = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = $1"
            indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = $1"
            return {
                "child_table": [f"public.{_child(place)}"],
                "child_column": [_column(place)],
                "child_rows": [rows],
                "parent_deletes": [await admin.fetchval(deletes, parent)],
                "indexes_of_child": [await admin.fetchval(indexes, _child(place))],
            }
        finally:
            await admin.close()

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "the child is large": min(facts["child_rows"]) >= 10_000,
                "rows of the parent were deleted": set(facts["parent_deletes"]) == {DELETED},
                "the index is there or not": set(facts["indexes_of_child"])
                == {1 + (twin or place.variant)},
            }
        )


def _child(place: PostgresPlace) -> str:
    return f"{place.names.table}_line"


def _column(place: PostgresPlace) -> str:
    return f"{place.names.quiet_table}_ref"


async def _furnish(place: PostgresPlace, indexed: str) -> None:
    parent, child, column = f"{place.names.table}_owner", _child(place), _column(place)
    rows = place.random.randint(30_000, 60_000)
    key, there = (f"tenant, {column}", "tenant, id") if place.variant else (column, "id")
    owner = await asyncpg.connect(place.url())
    try:
        await owner.execute(f"CREATE TABLE {parent} (tenant int, id int, PRIMARY KEY ({there}))")
        await owner.execute(f"INSERT INTO {parent} SELECT 1, generate_series(1, {PARENTS})")
        for table, count in ((child, rows), (f"{child}_note", 800)):
            await owner.execute(
                f"CREATE TABLE {table} (id int PRIMARY KEY, tenant int, {column} int,"
                f" FOREIGN KEY ({key}) REFERENCES {parent})"
            )
            await owner.execute(
                f"INSERT INTO {table} SELECT g, 1, 1 + g % {PARENTS - DELETED}"
                f" FROM generate_series(1, {count}) AS g"
            )
        if indexed:
            await owner.execute(f"CREATE INDEX ON {child} ({indexed})")
        await owner.execute(f"DELETE FROM {parent} WHERE id > {PARENTS - DELETED}")
        await owner.execute(f"ANALYZE {parent}, {child}, {child}_note")
    finally:
        await owner.close()
    # the session's counters arrive when it ends
    await asyncio.sleep(0.5)


SCENARIO = Scenario("S20", (Placement(IndexMissingOnForeignKey()),))
