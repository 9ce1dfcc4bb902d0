"""The application takes connections from its pool, ends its statements, and gives none back."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

PATH = "/orders"
ASKED = 3
ERRORS = {
    "sqlalchemy.pool_timeout": "QueuePool limit of size",
    "asyncpg.pool_timeout": "in _acquire_impl",
}


class LeakIdleCheckedOut(PostgresFault):
    """The whole pool is checked out and idle; the twin's idles likewise, and is free.

    SQLAlchemy's pool lost its connections at the start, or asyncpg's loses one with each request
    and its errors are tracebacks (variant 1).
    """

    truth = "P02"

    def _size(self, place: PostgresPlace) -> int:
        return 4 + place.seed % 3

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": self._size(place), "max_overflow": 0}

    def entries(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"http": {"url": place.application.url, "health": PATH}}

    async def _start(self, place: PostgresPlace, *, keeps: bool) -> None:
        names = place.names
        pool = {
            "url": place.url(),
            "application": names.application,
            "size": self._size(place),
            "timeout": 0.4,
            "statement": f"SELECT count(*) FROM {names.table}"
            f" WHERE id < {place.random.randint(20, 90)}",
            "keeps": keeps,
        }
        if place.variant == 1:
            await place.start("keeper.py", {"path": PATH, **pool})
            return
        url = place.url().replace("postgresql:", "postgresql+asyncpg:")
        database = {**pool, "url": url, "opens": self._size(place)}
        await place.start("webapp.py", {"path": PATH, "database": database, "tells": True})

    async def inject(self, place: PostgresPlace) -> None:
        await self._start(place, keeps=True)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._start(place, keeps=False)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        facts: Facts = {"answer_status": [], "answer_error": []}
        for _ in range(ASKED):
            answer = await place.application.ask("GET", PATH)
            facts["answer_status"].append(answer.status_code)
            facts["answer_error"] += [
                name for name, words in ERRORS.items() if words in answer.text
            ]
            await asyncio.sleep(0.05)
        rows, server = await place.oracle.sessions(), await place.oracle.server()
        own = [row for row in rows if row["application"] == place.names.application]
        return facts | {
            "idle_of_application": [sum(row["state"] == "idle" for row in own)],
            "own_application": [place.names.application],
            "free_slots": [server["usable_slots"] - len(rows)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "all its sessions idle": set(facts["idle_of_application"]) == {self._size(place)},
                "requests fail or not": set(facts["answer_status"]) == {200 if twin else 500},
                "they name the pool": twin or bool(facts["answer_error"]),
                "the database has room": min(facts["free_slots"]) > 10,
            }
        )


SCENARIO = Scenario("P02", (Placement(LeakIdleCheckedOut()),))
