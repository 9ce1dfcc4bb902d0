"""An administrator has stopped a database at PgBouncer's console, and not let it go on."""

import asyncio

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import at_console, insist, pool_facts

CLIENTS = 6


class Paused(PooledFault):
    """6 clients wait at a paused database; the twin's is paused for a moment and resumed, again
    and again, as in the steps of a maintenance.

    PAUSE lets transactions end first; KILL (variant 1) ends all connections, and who comes back
    waits at the login.
    """

    truth = "P27"
    size = 2

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        pooler, table = self.pooler(place), place.names.table
        for _ in range(CLIENTS):
            statement = f"SELECT count(*) FROM {table} WHERE id < 50"
            place.run(insist(place, pooler, statement, 0.05))
        await asyncio.sleep(0.5)
        if twin:
            place.run(self._maintain(place))
        else:
            await self._stop(place)

    async def _stop(self, place: PostgresPlace) -> None:
        command = "KILL" if place.variant == 1 else "PAUSE"
        await at_console(self.pooler(place), f'{command} "{place.names.database}"')

    async def _maintain(self, place: PostgresPlace) -> None:
        while True:
            await self._stop(place)
            await asyncio.sleep(0.25)
            await at_console(self.pooler(place), f'RESUME "{place.names.database}"')
            await asyncio.sleep(1.5)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        rows = await at_console(self.pooler(place), "SHOW DATABASES")
        return {
            **await pool_facts(place, self.pooler(place)),
            "paused_databases": [row["name"] for row in rows if row["paused"]],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        if twin:
            return unless({"none waits for long": max(facts["pool_wait"]) < 0.7})
        return unless(
            {
                "the database is paused": set(facts["paused_databases"]) == {place.names.database},
                "clients wait": set(facts["pool_waiting"]) == {CLIENTS},
                # PgBouncer does not time clients that it holds at their login
                "the wait is long": place.variant == 1 or max(facts["pool_wait"]) > 1.3,
                "PostgreSQL has room": min(facts["free_slots"]) > 15,
            }
        )


SCENARIO = Scenario("P27", (Placement(Paused()),))
