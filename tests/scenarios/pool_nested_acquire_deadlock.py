"""Requests take a second connection while they hold one, until all hold one and none gets two."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

PATH = "/orders"
WAIT = 1.0
STATEMENT_SECONDS = 0.03
ASKED = 4


class PoolNestedAcquireDeadlock(PostgresFault):
    """The whole pool stands for a second, fails, and stands again; the twin's requests do the same
    work over one connection each."""

    truth = "P11"

    def _size(self, place: PostgresPlace) -> int:
        return 4 + place.seed % 3

    def _autocommit(self, place: PostgresPlace) -> bool:
        return place.variant == 1

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": self._size(place), "max_overflow": 0}

    def entries(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"http": {"url": place.application.url, "health": PATH}}

    async def _start(self, place: PostgresPlace, again: str) -> None:
        names, size = place.names, self._size(place)
        database = {
            "url": place.url().replace("postgresql:", "postgresql+asyncpg:"),
            "application": names.application,
            "size": size,
            "timeout": WAIT,
            "statement": f"SELECT count(*), pg_sleep({STATEMENT_SECONDS}) FROM {names.table}"
            f" WHERE id < {place.random.randint(20, 90)}",
            "opens": size,
            "workers": 2 * size + 2,
            "pause": 5 * STATEMENT_SECONDS,
            "again": again,
            "autocommit": self._autocommit(place),
        }
        await place.start("webapp.py", {"path": PATH, "database": database, "tells": True})

    async def inject(self, place: PostgresPlace) -> None:
        await self._start(place, "another")

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._start(place, "same")

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        application = place.names.application
        facts: Facts = {
            "answer_status": [],
            "answer_error": [],
            "standing_of_application": [],
            "standing_seconds": [],
            "own_application": [application],
            "pool_timeout": [WAIT],
        }
        for _ in range(ASKED):
            answer = await place.application.ask("GET", PATH)
            facts["answer_status"].append(answer.status_code)
            if "QueuePool limit of size" in answer.text:
                facts["answer_error"].append("sqlalchemy.pool_timeout")
            for _ in range(4):
                await asyncio.sleep(0.15)
                own = [r for r in await place.oracle.sessions() if r["application"] == application]
                standing = [r for r in own if r["state_age"] > 0.15 and r["state"] != "active"]
                facts["standing_of_application"].append(len(standing))
                facts["standing_seconds"] += [row["state_age"] for row in standing]
        return facts

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        if twin:
            return unless({"all is answered": set(facts["answer_status"]) == {200}})
        waits = "idle" if self._autocommit(place) else "idle in transaction"
        return unless(
            {
                "requests fail": 500 in facts["answer_status"],
                "they name the pool": bool(facts["answer_error"]),
                f"the whole pool is {waits}": max(facts["standing_of_application"])
                == self._size(place),
                "none for longer than the wait": max(facts["standing_seconds"], default=0.0)
                < WAIT + 0.9,
            }
        )


SCENARIO = Scenario("P11", (Placement(PoolNestedAcquireDeadlock()),))
