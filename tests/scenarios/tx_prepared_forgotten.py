"""A transaction was prepared long ago, and whoever should have ended it is gone."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.apps import add_to_row, background
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.prepared import age_prepared

WRITERS = 4
_PREPARED = """
SELECT gid, database, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age
  FROM pg_prepared_xacts
"""


class TxPreparedForgotten(PostgresFault):
    """It is left since half an hour, over a restart, among others that are ended at once, or
    requests wait for its rows (variant 1); the twin's is two minutes old, and nobody waits."""

    truth = "P36"
    background = 0

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"max_prepared_transactions": 4}

    async def inject(self, place: PostgresPlace) -> None:
        await _leave_one(place, place.random.uniform(1200, 3000))
        if place.variant:
            for row in range(1, WRITERS + 1):
                place.run(add_to_row(place, row, 0.02))
        else:
            place.run(_end_each(place))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _leave_one(place, place.random.uniform(60, 150))
        if place.variant:
            for row in range(1, WRITERS + 1):
                place.run(add_to_row(place, WRITERS + row, 0.02))
        else:
            place.run(_end_each(place))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        rows = await (await place.oracle.connection()).fetch(_PREPARED)
        old = [row for row in rows if row["age"] > 30]
        return {
            "prepared_gids": [row["gid"] for row in old],
            "prepared_ages": [row["age"] for row in old],
            "prepared_databases": [row["database"] for row in old],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        age = facts["prepared_ages"]
        waiters = WRITERS if place.variant and not twin else 0
        return unless(
            {
                "it is there": bool(age),
                "one and the same": len(set(facts["prepared_gids"])) == 1,
                "it is old or not": max(age, default=0) < 240 if twin else min(age) > 900,
                f"{waiters} sessions wait": set(facts["waiting_for_locks"]) == {waiters},
            }
        )


async def _leave_one(place: PostgresPlace, seconds: float) -> None:
    names = place.names
    manager = await place.connect(names.jobs[0])
    await manager.execute(
        f"BEGIN; UPDATE {names.table} SET label = 'y' WHERE id <= {WRITERS};"
        f" PREPARE TRANSACTION '{names.jobs[1]}-{place.seed}'"
    )
    await manager.close()
    await place.oracle.leave()
    await asyncio.to_thread(place.server.halt)
    if age_prepared(place.server.data, seconds) != 1:
        raise RuntimeError("there is not one prepared transaction")
    await asyncio.to_thread(place.server.restart)
    background(place, 2, names.quiet_table)


async def _end_each(place: PostgresPlace) -> None:
    manager = await place.connect(place.names.jobs[0])
    update = f"UPDATE {place.names.quiet_table} SET label = 'y' WHERE id = 1"
    while True:
        await manager.execute(f"BEGIN; {update}; PREPARE TRANSACTION 'two-phase'")
        await asyncio.sleep(place.random.uniform(0.2, 0.4))
        await manager.execute("COMMIT PREPARED 'two-phase'")
        await asyncio.sleep(0.1)


SCENARIO = Scenario("P36", (Placement(TxPreparedForgotten()),))
