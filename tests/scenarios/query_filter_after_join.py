"""All rows of two tables are joined before a filter throws nearly all of them away."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS = 150_000


class QueryFilterAfterJoin(StatementFault):
    """Which orders are unpaid: paid by another amount or not at all, by an outer join; or paid too
    much, by what is computed of both. In the twin nearly all are unpaid; or the amounts are equal,
    which is part of the join.

    Only a run shows how many rows were thrown away, so the doctor is asked for one; it has no
    values for literals in an expression, and so these statements have none.
    """

    truth = "S18"
    options = ("--analyze",)
    slow = 30.0
    sessions = 2
    marked = "SELECT count(t.id)"

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place, twin=False)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, twin=True)

    def settings(self, version: int, twin: bool) -> dict[str, int | str]:
        return {**super().settings(version, twin), "work_mem": "64MB"}

    async def _serve(self, place: PostgresPlace, *, twin: bool) -> None:
        table, paid = large(place), _paid(place)
        odd, usual = ("id % 1000", "0") if twin and not place.variant else ("9999", "id % 1000")
        await furnish(
            place,
            f"CREATE TABLE {table} AS SELECT id, id % 1000 AS amount"
            f" FROM generate_series(1, {ROWS}) AS id",
            f"CREATE TABLE {paid} AS SELECT id, 1 AS fee, CASE WHEN id % {_one_in(place)} = 0"
            f" THEN {odd} ELSE {usual} END AS paid FROM generate_series(1, {ROWS}) AS id",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"ALTER TABLE {paid} ADD PRIMARY KEY (id)",
            f"VACUUM ANALYZE {table}",
            f"VACUUM ANALYZE {paid}",
        )
        for _ in range(self.sessions):
            place.run(call(place, _sql(place, twin), pause=0.2))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        kept = await admin.fetchval(_sql(place, twin))
        return {
            **await super().look(place, twin),
            "thrown_away": [ROWS - kept],
            "filtered_column": ["paid"],
            "joined_tables": [large(place), _paid(place)],
        }


def _paid(place: PostgresPlace) -> str:
    return f"{place.names.quiet_table}_payments"


def _one_in(place: PostgresPlace) -> int:
    return 700 + 100 * (place.seed % 5)


def _sql(place: PostgresPlace, twin: bool) -> str:
    table, paid = large(place), _paid(place)
    if not place.variant:
        outer = f"SELECT count(t.id) FROM {table} t LEFT JOIN {paid} s ON s.id = t.id"
        return f"{outer} WHERE s.paid IS DISTINCT FROM t.amount"
    compared = "s.paid = t.amount" if twin else "s.paid > t.amount + s.fee"
    return f"SELECT count(t.id) FROM {table} t JOIN {paid} s ON s.id = t.id AND {compared}"


SCENARIO = Scenario("S18", (Placement(QueryFilterAfterJoin()),))
