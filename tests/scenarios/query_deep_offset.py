"""Pages far back are asked for by OFFSET."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS = 300_000


class QueryDeepOffset(StatementFault):
    """Page 12,500 of a list; or a crawler that turns the pages of a feed, latest first, by
    parameters. The twin turns to the fifth."""

    truth = "S05"
    marked = "SELECT id, label"

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place, 250_000)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, 100)

    async def _serve(self, place: PostgresPlace, offset: int) -> None:
        table = large(place)
        await furnish(
            place,
            f"CREATE TABLE {table} AS SELECT id, repeat('x', 60) AS label, id / 7 AS day"
            f" FROM generate_series(1, {ROWS}) AS id",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"CREATE INDEX ON {table} (day, id)",
            f"VACUUM ANALYZE {table}",
        )
        sql = f"SELECT id, label FROM {table} ORDER BY id OFFSET {offset} LIMIT 20"
        feed = f"SELECT id, label FROM {table} ORDER BY day DESC, id DESC LIMIT $1 OFFSET $2"
        for _ in range(self.sessions):
            if place.variant:
                place.run(call(place, feed, lambda: (20, offset + place.random.randint(0, 99))))
            else:
                place.run(call(place, sql))


SCENARIO = Scenario("S05", (Placement(QueryDeepOffset()),))
