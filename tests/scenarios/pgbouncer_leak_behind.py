"""Transactions that nobody ends keep all of PgBouncer's connections; others wait for one."""

import asyncio
from contextlib import suppress

import asyncpg
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import Session, clients, connect

WAITING = 6


class LeakBehindPooler(PooledFault):
    """3 of 3 connections leak and 6 clients wait; the twin's transactions think for 50 ms.

    In variant 1 a statement fails, and nobody rolls the transaction back.
    """

    truth = "P15"
    size = 3

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        names, pooler = place.names, self.pooler(place)
        divisor = "0" if place.variant == 1 else "id"
        statement = f"SELECT label, 1 / {divisor} FROM {names.table} WHERE id = 7"
        for _ in range(self.size):
            client = await connect(place, pooler, names.application)
            if twin:
                place.run(_think(client, statement))
            else:
                await _begin(client, statement)
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


async def _begin(client: Session, statement: str) -> None:
    await client.execute("BEGIN")
    with suppress(asyncpg.DivisionByZeroError):
        await client.execute(statement)


async def _think(client: Session, statement: str) -> None:
    while True:
        await _begin(client, statement)
        await asyncio.sleep(0.05)
        await client.execute("ROLLBACK")


SCENARIO = Scenario("P15", (Placement(LeakBehindPooler()),))
