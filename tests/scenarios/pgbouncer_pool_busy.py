"""Clients wait at a busy PgBouncer, and the PostgreSQL behind it is not named to the doctor."""

import asyncio

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import Session, clients, connect

WAITING = 7
CROWD = 60
SECONDS = 0.12


class PoolBusy(PooledFault):
    """All 3 connections are in use and clients wait; the twin's are in use, and none waits.

    Whether they leak, or short statements of a crowd take turns (variant 1), looks alike from
    PgBouncer.
    """

    truth = "P28"
    size = 3
    hidden = True

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        names, pooler = place.names, self.pooler(place)
        if place.variant == 1:
            statement = f"SELECT count(*), pg_sleep({SECONDS}) FROM {names.table} WHERE id < 50"
            clients(place, pooler, self.size if twin else CROWD, statement)
            return
        for _ in range(self.size):
            client = await connect(place, pooler, names.application)
            if twin:
                place.run(_think(client))
            else:
                await _begin(client)
        if not twin:
            clients(place, pooler, WAITING, f"SELECT count(*) FROM {names.table}", 0.1)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting = set(facts["pool_waiting"]) == {0} if twin else min(facts["pool_waiting"]) >= 5
        return unless(
            {
                "clients wait as meant": waiting,
                "the wait is long": twin or min(facts["pool_wait"]) > 1.3,
                "the pool is busy": max(facts["pool_active"]) == self.size,
            }
        )


async def _begin(client: Session) -> None:
    await client.execute("BEGIN")
    await client.execute("SELECT 1")


async def _think(client: Session) -> None:
    while True:
        await _begin(client)
        await asyncio.sleep(0.05)
        await client.execute("COMMIT")


SCENARIO = Scenario("P28", (Placement(PoolBusy()),))
