"""A join without an equality, or without any condition, compares all rows with all."""

import json

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

PARTS = 900


class QueryNestedLoopExplosion(StatementFault):
    """Joined by one column OR another; or the condition of the join was forgotten. The twin joins
    ten times as many rows by equality; or it wants all pairs, of few rows."""

    truth = "S40"
    marked = "SELECT max("

    async def inject(self, place: PostgresPlace) -> None:
        rows = 3000 + 200 * (place.seed % 7)
        await self._serve(place, rows, _PAIRS if place.variant else _EITHER)

    async def inject_twin(self, place: PostgresPlace) -> None:
        rows = 400 if place.variant else 60_000
        await self._serve(place, rows, _PAIRS if place.variant else _EQUAL)

    async def _serve(self, place: PostgresPlace, rows: int, sql: str) -> None:
        table, part = large(place), _part(place)
        await furnish(
            place,
            f"CREATE TABLE {table} AS SELECT id, md5(id::text) AS code, 'x' || id AS old_code,"
            f" id % 97 AS amount FROM generate_series(1, {rows}) AS id",
            f"CREATE TABLE {part} AS SELECT id, md5(id::text) AS code, 'y' || id AS old_code,"
            f" id % 31 AS fee FROM generate_series(1, {PARTS}) AS id",
            f"VACUUM ANALYZE {table}",
            f"VACUUM ANALYZE {part}",
        )
        for _ in range(2):
            place.run(call(place, sql.format(table=table, part=part), pause=0.1))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        pairs = await admin.fetchval(
            f"SELECT (SELECT count(*) FROM {large(place)}) * (SELECT count(*) FROM {_part(place)})"
        )
        facts = await super().look(place, twin)
        return {
            **facts,
            "pairs": [pairs],
            "estimated_pairs": [await self._estimated(place)],
            "joined_tables": [large(place), _part(place)],
        }

    async def _estimated(self, place: PostgresPlace) -> int:
        """What the planner itself expects where it does not know the values."""
        admin = await place.oracle.connection()
        sql = (_PAIRS if place.variant else _EITHER).format(table=large(place), part=_part(place))
        await admin.execute("SET plan_cache_mode = force_generic_plan")
        await admin.execute(f"PREPARE joined AS {sql.replace('>= 0', '>= $1')}")
        values = "(0)" if place.variant else ""
        document = await admin.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE joined {values}")
        await admin.execute("DEALLOCATE joined")
        outer, inner = json.loads(document)[0]["Plan"]["Plans"][0]["Plans"]
        return int(outer["Plan Rows"] * inner["Plan Rows"])


def _part(place: PostgresPlace) -> str:
    return f"{place.names.quiet_table}_codes"


_EITHER = (
    "SELECT max(t.amount + p.fee) FROM {table} t JOIN {part} p"
    " ON t.code = p.code OR t.old_code = p.old_code"
)
_EQUAL = "SELECT max(t.amount + p.fee) FROM {table} t JOIN {part} p ON t.code = p.code"
_PAIRS = "SELECT max(t.amount * p.fee) FROM {table} t, {part} p WHERE t.amount >= 0"
SCENARIO = Scenario("S40", (Placement(QueryNestedLoopExplosion()),))
