"""More requests than connections in the application's pool; the database is quick and has room."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

POOL = 2
WORKERS = 20
STATEMENT_SECONDS = 0.05
PATH = "/orders"
ASKED = 6


class PoolUndersized(PostgresFault):
    """20 workers want a pool of 2 for statements of 50 ms; the twin has 2 workers."""

    kind = "http"
    truth = "P03"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": POOL, "max_overflow": 0}

    def entries(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"http": {"url": place.application.url, "health": PATH}}

    def task(self, place: PostgresPlace, *, size: int, workers: int) -> dict[str, Any]:
        """How the application is made."""
        names = place.names
        statement = f"SELECT count(*), pg_sleep({STATEMENT_SECONDS}) FROM {names.table}"
        database = {
            "url": place.url().replace("postgresql:", "postgresql+asyncpg:"),
            "application": names.application,
            "size": size,
            "timeout": 30,
            "statement": f"{statement} WHERE id < {place.random.randint(20, 90)}",
            "workers": workers,
            "pause": STATEMENT_SECONDS / 9,
        }
        return {"path": PATH, "database": database}

    async def inject(self, place: PostgresPlace) -> None:
        await place.start("webapp.py", self.task(place, size=POOL, workers=WORKERS))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await place.start("webapp.py", self.task(place, size=POOL, workers=POOL))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        return await self.seen(place, PATH, twin)

    async def seen(self, place: PostgresPlace, path: str, twin: bool) -> Facts:
        """How a path answers, and how the pool looks from its database."""
        return await _asked(place, path) | await _sessions(place, self.declares(place, twin))

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        # a busy machine slows any request now and then, and one may slip past the queue
        took = sorted(facts["response_seconds"])
        waits = took[0] < 0.15 if twin else took[len(took) // 2] > 0.25
        return unless(
            {
                "requests wait as meant": waits,
                "none fails": set(facts["answer_status"]) == {200},
                "the pool is all there": set(facts["sessions_of_application"]) == {POOL},
                "the database has room": min(facts["free_slots"]) > 15,
            }
        )


async def _asked(place: PostgresPlace, path: str) -> Facts:
    facts: Facts = {"response_seconds": [], "answer_status": []}
    for _ in range(ASKED):
        began = time.monotonic()
        answer = await place.application.ask("GET", path)
        facts["response_seconds"].append(time.monotonic() - began)
        facts["answer_status"].append(answer.status_code)
        await asyncio.sleep(0.05)
    return facts


async def _sessions(place: PostgresPlace, declared: Mapping[str, int]) -> Facts:
    rows, server = await place.oracle.sessions(), await place.oracle.server()
    own = [row for row in rows if row["application"] == place.names.application]
    return {
        "pool_size": [declared["pool_size"] + declared["max_overflow"]],
        "sessions_of_application": [len(own)],
        "free_slots": [server["usable_slots"] - len(rows)],
    }


SCENARIO = Scenario("P03", (Placement(PoolUndersized()),))
