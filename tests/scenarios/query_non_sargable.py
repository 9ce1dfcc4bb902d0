"""A column has its index, and the statement compares an expression of the column."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS = 200_000


class QueryNonSargable(StatementFault):
    """lower(column) against an index on the column; the twin has an index on the expression."""

    truth = "S08"
    marked = "SELECT id, email"

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place, "email")

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, "lower(email)")

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        facts = await super().look(place, twin)
        admin = await place.oracle.connection()
        pages = await admin.fetchval(
            "SELECT relpages FROM pg_class WHERE relname = $1", large(place)
        )
        return {
            **facts,
            "index": [f"{large(place)}_email"],
            "rows_thrown_away": [ROWS - 1, ROWS],
            "column": ["email"],
            "pages": [pages],
        }

    async def _serve(self, place: PostgresPlace, indexed: str) -> None:
        table = large(place)
        await furnish(
            place,
            f"CREATE TABLE {table} AS SELECT id, 'User' || id || '@example.com' AS email"
            f" FROM generate_series(1, {ROWS}) AS id",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"CREATE INDEX {table}_email ON {table} ({indexed})",
            f"VACUUM ANALYZE {table}",
        )
        sql = f"SELECT id, email FROM {table} WHERE lower(email) = $1"
        for _ in range(self.sessions):
            place.run(
                call(place, sql, lambda: (f"user{place.random.randint(1, ROWS)}@example.com",))
            )


SCENARIO = Scenario("S08", (Placement(QueryNonSargable()),))
