"""A table's file is mostly empty, and vacuum cannot give the room back."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

ROWS = 30_000
LABEL = 1000
_MEASURED = """
SELECT pg_relation_size($1::regclass) AS bytes,
       (SELECT sum(pg_column_size(t.*) + 4)::int8 FROM {table} t) AS used
"""


class BloatTable(PostgresFault):
    """An archive took three of four rows away; or all rows were changed at once, some times. The
    twin's is a queue, which was as full before; or it is left half empty for updates.

    The file is small and young, which the limits allow for.
    """

    truth = "S41"
    limits: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "postgres.table_bloat": {"megabytes": 20, "warning_gigabytes": 0.01, "settle_seconds": 0}
    }

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"autovacuum": "off"}

    async def inject(self, place: PostgresPlace) -> None:
        table = _table(place)
        owner = await place.connect(place.names.application)
        if place.variant:
            await owner.execute(f"CREATE TABLE {table} AS {_made(10_000)}")
            for _ in range(2 + place.seed % 2):
                await owner.execute(f"UPDATE {table} SET amount = amount + 1")
        else:
            await owner.execute(f"CREATE TABLE {table} AS {_made(ROWS)}")
            await owner.execute(f"DELETE FROM {table} WHERE id % 4 > 0")
        await _settle(place, owner)

    async def inject_twin(self, place: PostgresPlace) -> None:
        table = _table(place)
        owner = await place.connect(place.names.application)
        if place.variant:
            await owner.execute(f"CREATE TABLE {table} WITH (fillfactor = 45) AS {_made(ROWS)}")
        else:
            await owner.execute(f"CREATE TABLE {table} AS {_made(ROWS)}")
            for _ in range(2):
                await owner.execute(f"DELETE FROM {table} WHERE id % 40 > 0")
                await owner.execute(f"VACUUM {table}")
                await owner.execute(f"INSERT INTO {table} SELECT * FROM ({_made(ROWS)}) AS made")
            await owner.execute(f"DELETE FROM {table} WHERE id % 4 > 0")
        await _settle(place, owner)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        table = _table(place)
        row = await admin.fetchrow(_MEASURED.format(table=table), f"public.{table}")
        assert row is not None
        return {
            "bloated_table": [f"public.{table}"],
            "file_bytes": [row["bytes"]],
            "unused_bytes": [row["bytes"] - row["used"]],
            "unused_share": [1 - row["used"] / row["bytes"]],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "the file is large": min(facts["file_bytes"]) >= 20 * 2**20,
                "more than half of it is unused": min(facts["unused_share"]) > 0.5,
            }
        )


def _table(place: PostgresPlace) -> str:
    return f"{place.names.table}_archive"


def _made(rows: int) -> str:
    return (
        f"SELECT id, id % 97 AS amount, repeat('x', {LABEL}) AS label"
        f" FROM generate_series(1, {rows}) AS id"
    )


async def _settle(place: PostgresPlace, owner: Any) -> None:
    await owner.execute("SELECT pg_stat_force_next_flush()")
    await owner.execute(f"VACUUM ANALYZE {_table(place)}")


SCENARIO = Scenario("S41", (Placement(BloatTable()),))
