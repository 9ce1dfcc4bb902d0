"""A page reads a list, and then one row after the other for each of its rows."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack

import asyncpg
from tests.scenarios.frame.apps import browse
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace, Session

PAGES = 2
RESOLVERS = 4
VISITORS = 6


class QueryNPlusOne(PostgresFault):
    """Each page makes 1 + N calls, by primary key (even seed) or, in a transaction, by a foreign
    key (odd); over one connection, or over several at once, as the resolvers of a graph do. The
    twin: a batch of 200 calls once, and keys looked up by many sessions."""

    truth = "S04"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"shared_preload_libraries": "pg_stat_statements"}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": VISITORS + RESOLVERS}

    async def inject(self, place: PostgresPlace) -> None:
        await _furnish(place)
        for _ in range(PAGES):
            place.run(_pages(place, _rows(place), 0.05))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _furnish(place)
        place.run(_pages(place, 200, 30.0))
        for _ in range(VISITORS):
            place.run(browse(place, place.names.application, place.names.table, 0.03))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(
            "SELECT queryid::text AS id, calls, query FROM pg_stat_statements WHERE query LIKE $1",
            f"SELECT % FROM {place.names.table}%",
        )
        lists = [row for row in rows if "ORDER BY" in row["query"]]
        repeated = [row for row in rows if row["query"] == _statement(place)]
        return {
            "parent_query_ids": [row["id"] for row in lists],
            "parent_calls": [row["calls"] for row in lists],
            "repeated_query_ids": [row["id"] for row in repeated],
            "repeated_calls": [row["calls"] for row in repeated],
            "repeated_tables": [_details(place)],
            "round_trips": [_rows(place)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        pages, calls = (max(facts[key], default=0) for key in ("parent_calls", "repeated_calls"))
        if twin:
            return unless({"the batch ran": (pages, calls) == (1, 200)})
        return unless({"pages are read": pages >= 4, "row by row": calls >= 0.7 * _rows(place) * 4})


def _rows(place: PostgresPlace) -> int:
    return 120 + place.seed % 9 * 10


def _details(place: PostgresPlace) -> str:
    return f"{place.names.table}_details"


def _statement(place: PostgresPlace) -> str:
    key = "id" if place.seed % 2 == 0 else "owner_id"
    return f"SELECT id, note FROM {_details(place)} WHERE {key} = $1"


async def _furnish(place: PostgresPlace) -> None:
    """A table beside the list, with two rows for each of its."""
    admin = await asyncpg.connect(place.server.admin_url(place.names.database))
    owner = await asyncpg.connect(place.url())
    table = _details(place)
    try:
        await admin.execute("CREATE EXTENSION pg_stat_statements")
        await owner.execute(
            f"CREATE TABLE {table} AS SELECT id, 1 + id % 1000 AS owner_id, 'x' || id AS note"
            " FROM generate_series(1, 2000) AS id"
        )
        await owner.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
        await owner.execute(f"CREATE INDEX ON {table} (owner_id)")
        await owner.execute(f"VACUUM ANALYZE {table}")
    finally:
        await admin.close()
        await owner.close()


async def _pages(place: PostgresPlace, rows: int, pause: float) -> None:
    names, many = place.names, RESOLVERS if place.variant else 1
    sessions = [await place.connect(names.application) for _ in range(many)]
    statement = f"SELECT id, label FROM {names.table} ORDER BY id LIMIT {rows}"
    while True:
        async with AsyncExitStack() as stack:
            if place.seed % 2:
                await stack.enter_async_context(sessions[0].transaction())
            keys = [row["id"] for row in await sessions[0].fetch(statement)]
            work = (_resolve(place, one, keys[number::many]) for number, one in enumerate(sessions))
            await asyncio.gather(*work)
        await asyncio.sleep(pause)


async def _resolve(place: PostgresPlace, session: Session, keys: Iterable[int]) -> None:
    for key in keys:
        await session.fetch(_statement(place), key)


SCENARIO = Scenario("S04", (Placement(QueryNPlusOne()),))
