"""PgBouncer's logins to PostgreSQL fail or hang, although the server is well and has room."""

import asyncio
from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import connect, insist, until_unused
from tests.servers.proxy import FaultProxy, Mode

CLIENTS = 6


class ServerUnavailable(PooledFault):
    """6 clients wait for a pool that gets no connection; the twin's connections are made anew
    every second, and each login succeeds.

    The role that PgBouncer logs in with may do so no more; in variant 1 what lies between it and
    the server swallows all that is sent, in the twin it was cut off for a moment.
    """

    truth = "P26"
    size = 3

    def __init__(self) -> None:
        super().__init__()
        self._links: dict[int, FaultProxy] = {}

    def pooler_settings(self, place: PostgresPlace, twin: bool) -> Mapping[str, int | str]:
        return {"server_lifetime" if twin else "server_idle_timeout": 1}

    async def target(self, place: PostgresPlace) -> Mapping[str, int | str]:
        if place.variant == 1:
            link = FaultProxy(place.server.port)
            await asyncio.to_thread(link.__enter__)
            place.jobs.push_async_callback(asyncio.to_thread, link.__exit__, None, None, None)
            self._links[id(place)] = link
            return {"port": link.port}
        admin = await asyncpg.connect(place.server.admin_url())
        await admin.execute(f'CREATE ROLE "{_gateway(place)}" LOGIN')
        await admin.close()
        return {"user": _gateway(place)}

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        pooler = self.pooler(place)
        callers = [await connect(place, pooler, place.names.application) for _ in range(CLIENTS)]
        for caller in callers:
            await caller.execute("SELECT 1")
        if twin:
            await self._interrupt(place)
        else:
            await until_unused(pooler)
            await self._break(place)
        for caller in callers:
            place.run(insist(place, pooler, "SELECT pg_sleep(0.01)", 0.05, caller))

    async def _break(self, place: PostgresPlace) -> None:
        if place.variant == 1:
            await asyncio.to_thread(self._links[id(place)].switch, Mode.BLACK_HOLE)
            return
        admin = await asyncpg.connect(place.server.admin_url())
        await admin.execute(f'ALTER ROLE "{_gateway(place)}" NOLOGIN')
        await admin.close()

    async def _interrupt(self, place: PostgresPlace) -> None:
        if place.variant == 1:
            for mode in (Mode.CUT, Mode.PASS):
                await asyncio.to_thread(self._links[id(place)].switch, mode)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        if twin:
            return unless(
                {
                    "the pool works": max(facts["pool_active"]) > 0,
                    "none waits for long": max(facts["pool_wait"]) < 0.7,
                }
            )
        return unless(
            {
                "clients wait": min(facts["pool_waiting"]) >= CLIENTS - 2,
                "the wait is long": max(facts["pool_wait"]) > 1.3,
                "the pool has no connection": set(facts["pool_active"]) == {0},
                "PostgreSQL has room": min(facts["free_slots"]) > 15,
            }
        )


def _gateway(place: PostgresPlace) -> str:
    return f"{place.names.role}-gateway"


SCENARIO = Scenario("P26", (Placement(ServerUnavailable()),))
