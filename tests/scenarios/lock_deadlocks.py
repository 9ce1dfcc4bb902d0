"""Transactions change the same rows in different orders."""

import asyncio
from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

PAIRS = 2


class LockDeadlocks(PostgresFault):
    """Two pairs of writers; in the twin both of a pair take the rows in one order.

    They update the rows, or lock them first (variant 1).
    """

    truth = "P18"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"deadlock_timeout": "400ms"}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": 2 * PAIRS}

    async def inject(self, place: PostgresPlace) -> None:
        for rows in _pairs(place):
            place.run(_change(place, rows))
            place.run(_change(place, rows[::-1]))

    async def inject_twin(self, place: PostgresPlace) -> None:
        for rows in _pairs(place):
            place.run(_change(place, rows))
            place.run(_change(place, rows))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        count = await admin.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = $1", place.names.database
        )
        return {"deadlocks": [min(1, count), count], "database": [place.names.database]}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        most = max(facts["deadlocks"])
        return unless({"deadlocks are counted": most == 0 if twin else most >= 2})


def _pairs(place: PostgresPlace) -> list[list[int]]:
    rows = place.random.sample(range(1, 500), 2 * PAIRS)
    return [sorted(rows[2 * number : 2 * number + 2]) for number in range(PAIRS)]


async def _change(place: PostgresPlace, rows: list[int]) -> None:
    """Changes both rows in one transaction, and tries again when it was ended."""
    names = place.names
    statement = f"UPDATE {names.table} SET {names.column} = {names.column} + 1 WHERE id = $1"
    if place.variant == 1:
        statement = f"SELECT label FROM {names.table} WHERE id = $1 FOR UPDATE"
    connection = await place.connect(names.application)
    while True:
        try:
            async with connection.transaction():
                for row in rows:
                    await connection.execute(statement, row)
                    await asyncio.sleep(0.05)
        except asyncpg.DeadlockDetectedError:
            pass
        await asyncio.sleep(place.random.uniform(0.05, 0.15))


SCENARIO = Scenario("P18", (Placement(LockDeadlocks()),))
