"""The application takes connections, begins, reads, fails, and never rolls back."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.apps import leak_a_transaction, pool, work_in_transactions
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

POOL = 5


class LeakIdleInTransaction(PostgresFault):
    """All 5 connections of the pool leak; the twin's 5 cycle, each idle for under 200 ms."""

    truth = "P01"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": POOL}

    def _statement(self, place: PostgresPlace) -> str:
        what = place.random.choice(("label", f"id, {place.names.column}", "count(*)"))
        return f"SELECT {what} FROM {place.names.table} WHERE id = $1"

    async def inject(self, place: PostgresPlace) -> None:
        statement = self._statement(place)
        leaking = await place.jobs.enter_async_context(pool(place, POOL))
        for _ in range(POOL):
            await asyncio.sleep(place.random.uniform(0.0, 0.2))
            await asyncio.gather(leak_a_transaction(leaking, statement), return_exceptions=True)

    async def inject_twin(self, place: PostgresPlace) -> None:
        statement = self._statement(place)
        healthy = await place.jobs.enter_async_context(pool(place, POOL))
        for _ in range(POOL):
            place.run(work_in_transactions(place, healthy, statement))

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        application = place.names.application
        if twin:
            return unless(
                {
                    "sessions idle in transaction": max(facts["idle_in_transaction"]) > 0,
                    "none of them stays": max(facts["stuck_in_transaction"]) == 0,
                    "each for under 200 ms": max(facts["idle_in_transaction_seconds"]) < 0.2,
                }
            )
        return unless(
            {
                "5 sessions stay idle in transaction": set(facts["stuck_in_transaction"]) == {POOL},
                "all of the application": set(facts["stuck_applications"]) == {application},
            }
        )


SCENARIO = Scenario("P01", (Placement(LeakIdleInTransaction()),))
