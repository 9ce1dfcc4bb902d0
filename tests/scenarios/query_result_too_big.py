"""A client asks for everything and reads it slowly."""

import asyncio

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace, Session
from tests.scenarios.frame.statements import StatementFault, call, furnish, large

ROWS = 60_000
DOCUMENTS, DOCUMENT_BYTES = 60, 400_000


class QueryResultTooBig(StatementFault):
    """60,000 rows, or 60 whole documents, read with pauses; the twin reads a page at a time."""

    truth = "S14"
    sessions = 4
    marked = "SELECT id, label"

    async def inject(self, place: PostgresPlace) -> None:
        table = await self._furnish(place)
        for _ in range(self.sessions):
            place.run(_read_slowly(place, f"SELECT id, label FROM {table}"))

    async def inject_twin(self, place: PostgresPlace) -> None:
        table = await self._furnish(place)
        rows, page = (DOCUMENTS, 2) if place.variant else (ROWS, 1000)
        sql = f"SELECT id, label FROM {table} WHERE id > $1 ORDER BY id LIMIT {page}"
        for _ in range(self.sessions):
            place.run(call(place, sql, lambda: (place.random.randint(1, rows),)))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        facts = await super().look(place, twin)
        return {**facts, "writers": [1, self.sessions]}

    async def _furnish(self, place: PostgresPlace) -> str:
        table = large(place)
        rows, width = (DOCUMENTS, DOCUMENT_BYTES) if place.variant else (ROWS, 200)
        await furnish(
            place,
            f"CREATE TABLE {table} (id int, label text)",
            f"ALTER TABLE {table} ALTER label SET STORAGE EXTERNAL",
            f"INSERT INTO {table} SELECT id, repeat('x', {width})"
            f" FROM generate_series(1, {rows}) AS id",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"VACUUM ANALYZE {table}",
        )
        return table


async def _read_slowly(place: PostgresPlace, sql: str) -> None:
    connection = await place.connect(place.names.application)
    while True:
        await asyncio.gather(connection.fetch(sql), _pause(connection))


async def _pause(connection: Session) -> None:
    """The socket's buffers fill, and the server waits for this client."""
    await asyncio.sleep(0.02)
    connection._transport.pause_reading()  # type: ignore[attr-defined]
    try:
        await asyncio.sleep(0.8)
    finally:
        connection._transport.resume_reading()  # type: ignore[attr-defined]


SCENARIO = Scenario("S14", (Placement(QueryResultTooBig()),))
