"""The application calls another service while its transaction stands open."""

import asyncio
from collections.abc import Mapping
from statistics import median

import asyncpg
from tests.scenarios.frame.apps import pool, work_in_transactions
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

POOL = 6


class TxExternalCallHeld(PostgresFault):
    """All 6 connections wait for answers that take 2 to 4 s, having read, or having written each
    its own row; the twin's 6 are back within 200 ms."""

    truth = "P09"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": POOL}

    async def inject(self, place: PostgresPlace) -> None:
        calling = await place.jobs.enter_async_context(pool(place, POOL))
        for number in range(1, POOL + 3):
            place.run(_call_within(place, calling, number))
            await asyncio.sleep(place.random.uniform(0.1, 0.5))

    async def inject_twin(self, place: PostgresPlace) -> None:
        healthy = await place.jobs.enter_async_context(pool(place, POOL))
        statement = f"SELECT label FROM {place.names.table} WHERE id = $1"
        for _ in range(POOL):
            place.run(work_in_transactions(place, healthy, statement))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        rows = await place.oracle.sessions()
        waiting = [row for row in rows if row["state"] == "idle in transaction"]
        return {"idle_applications": [row["application"] for row in waiting]}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        idle, ages = facts["idle_in_transaction"], facts["idle_in_transaction_seconds"]
        if twin:
            return unless({"each for under 200 ms": max(ages, default=0.0) < 0.2})
        return unless(
            {
                "most wait in a transaction": median(idle) >= POOL - 1,
                "for seconds": max(ages) > 1.0,
                "and none for long": max(ages) < 4.5,
                "all of the application": set(facts["idle_applications"])
                == {place.names.application},
            }
        )


async def _call_within(
    place: PostgresPlace, calling: "asyncpg.Pool[asyncpg.Record]", row: int
) -> None:
    names = place.names
    statement = f"SELECT label FROM {names.table} WHERE id = $1"
    if place.variant == 1:
        statement = f"UPDATE {names.table} SET {names.column} = {names.column} + 1 WHERE id = $1"
    while True:
        async with calling.acquire() as connection, connection.transaction():
            await connection.execute(statement, row)
            await asyncio.sleep(place.random.uniform(2.0, 4.0))
        await asyncio.sleep(0.01)


SCENARIO = Scenario("P09", (Placement(TxExternalCallHeld()),))
