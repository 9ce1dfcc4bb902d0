"""The server is restarted under a pool that does not try its connections before use."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.apps import background
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

PATH = "/orders"
WORDS = ("connection is closed", "DoesNotExist", "server closed the connection")
SIZE = 26


class PoolStaleAfterRestart(PostgresFault):
    """Each connection from before the restart fails one request; the twin tries them first.

    The server is stopped in order under asyncpg, or crashes under psycopg (variant 1).
    """

    truth = "P10"
    background = 0

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": SIZE}

    def entries(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"http": {"url": place.application.url, "health": PATH}}

    async def _start(self, place: PostgresPlace, *, tries: bool) -> None:
        names = place.names
        task = {
            "path": PATH,
            "url": place.url(),
            "application": names.application,
            "size": SIZE,
            "client": ("asyncpg", "psycopg")[place.variant],
            "statement": f"SELECT * FROM {names.table} WHERE id < {place.random.randint(5, 50)}",
            "tries": tries,
        }
        await place.start("keeper.py", task)
        await place.oracle.leave()
        await asyncio.to_thread(place.server.restart, immediate=place.variant == 1)
        background(place, 2, names.quiet_table)

    async def inject(self, place: PostgresPlace) -> None:
        await self._start(place, tries=False)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._start(place, tries=True)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        answer = await place.application.ask("GET", PATH)
        lost = any(words in answer.text for words in WORDS)
        connection = await place.oracle.connection()
        start = "SELECT extract(epoch FROM pg_postmaster_start_time())::float8"
        return {
            "answer_status": [answer.status_code],
            "answer_error": ["postgres.connection_lost"] if lost else [],
            "server_started": [await connection.fetchval(start)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "requests fail or not": set(facts["answer_status"]) == {200 if twin else 500},
                "they name a lost connection": twin or bool(facts["answer_error"]),
                "the server was restarted": time.time() - facts["server_started"][0] < 120,
            }
        )


SCENARIO = Scenario("P10", (Placement(PoolStaleAfterRestart()),))
