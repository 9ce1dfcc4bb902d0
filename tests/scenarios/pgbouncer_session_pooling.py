"""Clients that do nothing keep all of PgBouncer's connections, since it lends by the session."""

import asyncio
from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import at_console, clients, connect, pool_facts

OTHERS = 5
LONG = 3.0


class SessionPooling(PooledFault):
    """An application's pool idles on 3 of 3 connections while 5 clients wait; in the twin it has
    but 2, and the others take turns at the third, a session for each question.

    In variant 1 only the database's own line says session mode, and who idles listens.
    """

    truth = "P24"
    size = 3

    def pooler_settings(self, place: PostgresPlace, twin: bool) -> Mapping[str, int | str]:
        return {} if place.variant == 1 else {"pool_mode": "session"}

    async def target(self, place: PostgresPlace) -> Mapping[str, int | str]:
        return {"pool_mode": "session"} if place.variant == 1 else {}

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        names, pooler = place.names, self.pooler(place)
        question = f"SELECT count(*) FROM {names.table} WHERE id < 50"
        for _ in range(self.size - 1 if twin else self.size):
            client = await connect(place, pooler, names.application)
            await client.execute("LISTEN changes" if place.variant == 1 else question)
        if not twin:
            clients(place, pooler, OTHERS, question, 0.1)
            return
        for _ in range(OTHERS):
            place.run(self._take_turns(place, question))

    async def _take_turns(self, place: PostgresPlace, question: str) -> None:
        url = self.pooler(place).url(place.names.role, None, place.names.database)
        settings = {"application_name": place.names.application}
        while True:
            visitor = await asyncpg.connect(url, timeout=60, server_settings=settings)
            await visitor.execute(question)
            await visitor.close()
            await asyncio.sleep(place.random.uniform(0.1, 0.3))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        rows = await place.oracle.sessions()
        pools = await at_console(self.pooler(place), "SHOW POOLS")
        kept = [row for row in rows if row["state"] == "idle" and row["state_age"] > LONG]
        return {
            **await pool_facts(place, self.pooler(place)),
            "kept_idle": [len(kept)],
            "pool_modes": [row["pool_mode"] for row in pools],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting = set(facts["pool_waiting"]) == {OTHERS}
        return unless(
            {
                "sessions idle": set(facts["kept_idle"]) == {self.size - twin},
                "they are kept by the session": set(facts["pool_modes"]) == {"session"},
                "none waits for long" if twin else "clients wait": (
                    max(facts["pool_wait"]) < 0.7 if twin else waiting
                ),
            }
        )


SCENARIO = Scenario("P24", (Placement(SessionPooling()),))
