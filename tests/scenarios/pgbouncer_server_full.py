"""PgBouncer's pool may open more connections; others have taken all that PostgreSQL gives."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.apps import start_worker
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import clients, connect, repeat, until_unused

POOL = 5
PROCESSES = 6
PROCESSES_THAT_FIT = 4
CLIENTS = 8
BUSY = 2
FITTING = 2


class ServerFull(PooledFault):
    """6 processes with pools of 5 leave nothing to a PgBouncer that may open 10 connections; the
    twin's 4 processes idle likewise, and PgBouncer has the 2 that it may have.

    PgBouncer has closed those it had, unused, or has kept 2 that are busy (variant 1).
    """

    kind = "postgres"
    truth = "P25"
    size = 10
    background = 0

    def settings(self, version: int, twin: bool) -> Mapping[str, int]:
        return {"reserved_connections": 1} if version >= 16 else {}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"workers": PROCESSES_THAT_FIT if twin else PROCESSES, "pool_size": POOL}

    def blind(self, place: PostgresPlace) -> bool:
        return place.version < 16

    def pooler_settings(self, place: PostgresPlace, twin: bool) -> Mapping[str, int | str]:
        if twin:
            return {"default_pool_size": FITTING}
        return {} if place.variant == 1 else {"server_idle_timeout": 1}

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        pooler, slow = self.pooler(place), place.variant == 1 and not twin
        asked = "count(*), pg_sleep(3)" if slow else "count(*)"
        question = f"SELECT {asked} FROM {place.names.table} WHERE id < 50"
        callers = [await connect(place, pooler, place.names.application) for _ in range(CLIENTS)]
        for caller in callers:
            await caller.execute("SELECT 1")
        if slow:
            clients(place, pooler, BUSY, question)
        elif not twin:
            await until_unused(pooler)
        for _ in range(PROCESSES_THAT_FIT if twin else PROCESSES):
            await start_worker(place, POOL)
        for _ in range(0 if twin else 100):
            if await place.refuses():
                break
            await asyncio.sleep(0.2)
        for caller in callers:
            place.run(repeat(caller, question, 0.02))

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        used, usable = facts["used_slots"], facts["usable_slots"]
        if twin:
            fit = POOL * PROCESSES_THAT_FIT + FITTING
            return unless(
                {
                    f"{fit} slots are taken": set(used) == {fit},
                    "none waits for long": max(facts["pool_wait"]) < 0.7,
                }
            )
        return unless(
            {
                # one that is being refused is counted for a moment
                "all slots are taken": usable[-1] == min(used) <= max(used) <= usable[-1] + 2,
                "another is refused": set(facts["login_refused"]) == {True},
                "clients wait": min(facts["pool_waiting"]) > 2,
                "the wait is long": max(facts["pool_wait"]) > 1.3,
                "the pool is not full": max(facts["pool_active"]) <= BUSY,
            }
        )


SCENARIO = Scenario("P25", (Placement(ServerFull()),))
