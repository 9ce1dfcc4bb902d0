"""A sort does not fit into work_mem, call after call."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS = 60_000


class QuerySortSpill(StatementFault):
    """60,000 rows sorted with 64 kB, or counted once each, which sorts within the aggregate; the
    twin's report spills once, beside small sorts."""

    truth = "S06"
    sessions = 2
    marked = "SELECT count(sorted.label)"

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place, ROWS, pause=0.1)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, 200, pause=0.1)
        place.run(call(place, self._sql(place), lambda: (ROWS,), pause=3600, prepare=_SMALL))

    async def _serve(self, place: PostgresPlace, rows: int, pause: float) -> None:
        table = large(place)
        await furnish(
            place,
            f"CREATE TABLE {table} AS SELECT id, md5(id::text) AS label"
            f" FROM generate_series(1, {ROWS}) AS id",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"VACUUM ANALYZE {table}",
        )
        for _ in range(self.sessions):
            place.run(call(place, self._sql(place), lambda: (rows,), pause=pause, prepare=_SMALL))

    def _sql(self, place: PostgresPlace) -> str:
        table = large(place)
        if place.variant:
            return (
                f"SELECT count(sorted.label), count(DISTINCT sorted.label) FROM {table} AS sorted"
                " WHERE id <= $1"
            )
        inner = f"SELECT label FROM {table} WHERE id <= $1 ORDER BY label OFFSET 0"
        return f"SELECT count(sorted.label) FROM ({inner}) AS sorted"


_SMALL = "SET work_mem = '64kB'"
SCENARIO = Scenario("S06", (Placement(QuerySortSpill()),))
