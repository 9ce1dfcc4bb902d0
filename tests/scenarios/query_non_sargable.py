"""A column has its index, and the statement compares an expression of the column."""

from datetime import date, timedelta

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS = 200_000


class QueryNonSargable(StatementFault):
    """An expression against an index on the column; the twin has an index on the expression."""

    truth = "S08"
    marked = "SELECT id, email"

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place, _column(place))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, _expression(place))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        facts = await super().look(place, twin)
        admin = await place.oracle.connection()
        pages = await admin.fetchval(
            "SELECT relpages FROM pg_class WHERE relname = $1", large(place)
        )
        return {
            **facts,
            "index": [f"{large(place)}_sought"],
            "rows_thrown_away": [ROWS - 1, ROWS],
            "column": [_column(place)],
            "pages": [pages],
        }

    async def _serve(self, place: PostgresPlace, indexed: str) -> None:
        table = large(place)
        await furnish(
            place,
            f"CREATE TABLE {table} AS SELECT id, 'User' || id || '@example.com' AS email,"
            " timestamp '2000-01-01' + id * interval '1 day' AS joined"
            f" FROM generate_series(1, {ROWS}) AS id",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"CREATE INDEX {table}_sought ON {table} (({indexed}))",
            f"VACUUM ANALYZE {table}",
        )
        sql = f"SELECT id, email FROM {table} WHERE {_expression(place)} = $1"
        for _ in range(self.sessions):
            place.run(call(place, sql, lambda: (_sought(place, place.random.randint(1, ROWS)),)))


def _column(place: PostgresPlace) -> str:
    return "joined" if place.variant else "email"


def _expression(place: PostgresPlace) -> str:
    return "joined::date" if place.variant else "lower(email)"


def _sought(place: PostgresPlace, number: int) -> object:
    if place.variant:
        return date(2000, 1, 1) + timedelta(days=number)
    return f"user{number}@example.com"


SCENARIO = Scenario("S08", (Placement(QueryNonSargable()),))
