"""Transactions that nobody ends keep all of PgBouncer's connections; others wait for one."""

import asyncio

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import clients, connect

WAITING = 6


class LeakBehindPooler(PooledFault):
    """3 of 3 connections leak and 6 clients wait; the twin's transactions think for 50 ms."""

    truth = "P15"
    size = 3

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        names, pooler = place.names, self.pooler(place)
        for _ in range(self.size):
            client = await connect(place, pooler, names.application)
            if twin:
                place.run(_think(client, f"SELECT label FROM {names.table} WHERE id = 7"))
                continue
            await client.execute("BEGIN")
            await client.execute(f"SELECT label FROM {names.table} WHERE id = 7")
        if not twin:
            clients(place, pooler, WAITING, f"SELECT count(*) FROM {names.table}", 0.1)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        stuck = max(facts["stuck_in_transaction"])
        return unless(
            {
                "connections leak as meant": stuck == 0 if twin else stuck == self.size,
                "clients wait as meant": twin or set(facts["pool_waiting"]) == {WAITING},
            }
        )


async def _think(client: object, statement: str) -> None:
    execute = client.execute  # type: ignore[attr-defined]
    while True:
        await execute("BEGIN")
        await execute(statement)
        await asyncio.sleep(0.05)
        await execute("COMMIT")


SCENARIO = Scenario("P15", (Placement(LeakBehindPooler()),))
