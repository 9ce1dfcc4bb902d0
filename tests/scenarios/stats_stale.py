"""The planner knows a table as it was before a bulk load, and nobody analyzed it since."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS, LOADED = 60_000, 60_000


class StatsStale(StatementFault):
    """60,000 rows came to a customer that had 30, beside all others or, once the table had been
    emptied, in their place; the twin was analyzed after the load."""

    truth = "S09"
    sessions = 2
    marked = "SELECT count(o.label)"

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, f"ANALYZE {large(place)}")

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        facts = await super().look(place, twin)
        admin = await place.oracle.connection()
        changed = await admin.fetchval(
            "SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = $1", large(place)
        )
        return {**facts, "changed_rows": [changed]}

    async def _serve(self, place: PostgresPlace, *after: str) -> None:
        table, other = large(place), f"{large(place)}_of"
        await furnish(
            place,
            f"CREATE TABLE {table} (id int, customer int) WITH (autovacuum_enabled = false)",
            f"INSERT INTO {table} SELECT id, id % 2000 FROM generate_series(1, {ROWS}) AS id",
            f"CREATE INDEX {table}_customer ON {table} (customer)",
            f"CREATE TABLE {other} AS SELECT id, md5(id::text) AS label"
            f" FROM generate_series(1, {ROWS + LOADED}) AS id ORDER BY random()",
            f"ALTER TABLE {other} ADD PRIMARY KEY (id)",
            f"VACUUM ANALYZE {table}",
            f"VACUUM ANALYZE {other}",
            *([f"TRUNCATE {table}"] if place.variant else []),
            f"INSERT INTO {table} SELECT id, 7"
            f" FROM generate_series({ROWS + 1}, {ROWS + LOADED}) AS id",
            *after,
        )
        sql = (
            f"SELECT count(o.label) FROM {table} t JOIN {other} o ON o.id = t.id"
            " WHERE t.customer = $1"
        )
        for _ in range(self.sessions):
            place.run(call(place, sql, lambda: (7,), pause=0.1))


SCENARIO = Scenario("S09", (Placement(StatsStale()),))
