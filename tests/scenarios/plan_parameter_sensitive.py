"""One plan, made for most values, serves one that would have a far better one."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS = 400_000


class PlanParameterSensitive(StatementFault):
    """The first 20 rows of a rare value, sought along the key; or of a frequent one among many
    rare ones, all of them sought by the index and sorted. The twin plans every call."""

    truth = "S13"
    marked = "SELECT id, label"

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place, "force_generic_plan")

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, "force_custom_plan")

    async def _serve(self, place: PostgresPlace, mode: str) -> None:
        table = large(place)
        states = f"WHEN id > {ROWS - 200} THEN 'open' WHEN random() < 0.5 THEN 'paid' ELSE 'sent'"
        if place.variant:
            states = "WHEN random() < 0.5 THEN 'open' ELSE 'paid by ' || id"
        await furnish(
            place,
            f"CREATE TABLE {table} AS SELECT id, repeat('x', 60) AS label, CASE {states} END"
            f" AS state FROM generate_series(1, {ROWS}) AS id",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"CREATE INDEX {table}_state ON {table} (state)",
            f"ALTER TABLE {table} ALTER state SET STATISTICS 1000",
            f"VACUUM ANALYZE {table}",
        )
        sql = f"SELECT id, label FROM {table} WHERE state = $1 ORDER BY id LIMIT 20"
        prepare = f"SET plan_cache_mode = {mode}"
        for _ in range(self.sessions):
            place.run(call(place, sql, lambda: ("open",), prepare=prepare))


SCENARIO = Scenario("S13", (Placement(PlanParameterSensitive()),))
