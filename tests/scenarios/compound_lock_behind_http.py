"""A schema change that waits keeps a web application's whole pool waiting: its requests fail, or
are late."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.lock_ddl_queue import LockDdlQueue, jam, request

PATH = "/orders"
POOL = 4
GIVES_UP_MS = 1320
WORKERS = 3


class LockBehindHttp(LockDdlQueue):
    """Requests use the table; the twin alters another one. They fail when the pool is empty."""

    truth = "X08"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": POOL, "max_overflow": 0}

    def entries(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"http": {"url": place.application.url, "health": PATH}}

    def database(self, place: PostgresPlace) -> dict[str, Any]:
        """What the application does with its database."""
        names = place.names
        return {
            "url": place.url().replace("postgresql:", "postgresql+asyncpg:"),
            "application": names.application,
            "size": POOL,
            "timeout": 0.3,
            "statement": request(place),
            "workers": POOL + 2,
            "pause": 0.1,
        }

    async def inject(self, place: PostgresPlace) -> None:
        await self._serve(place, place.names.table)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._serve(place, place.names.quiet_table)

    async def _serve(self, place: PostgresPlace, altered: str) -> None:
        task = {"path": PATH, "database": self.database(place), "tells": place.seed % 2 == 0}
        await place.start("webapp.py", task)
        await jam(place, altered)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        facts: Facts = {"answer_status": [], "response_seconds": [], "waiting_for_locks": []}
        for _ in range(2):
            began = time.monotonic()
            asking = asyncio.create_task(place.application.ask("GET", PATH))
            await asyncio.sleep(0.1)
            # a request may wait too, as those of the doctor's do
            rows = await place.oracle.sessions()
            facts["waiting_for_locks"].append(sum(row["waits"] == "Lock" for row in rows))
            answer = await asking
            facts["answer_status"].append(answer.status_code)
            facts["response_seconds"].append(time.monotonic() - began)
        return facts

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        if twin:
            return unless(
                {
                    "nobody waits": max(facts["waiting_for_locks"]) == 0,
                    "requests are answered": set(facts["answer_status"]) == {200},
                }
            )
        return [
            *unless({"one ALTER waits": len(set(facts["waiting_ddl_pids"])) == 1}),
            *self.unanswered(facts),
        ]

    def unanswered(self, facts: Facts) -> list[str]:
        """What is not so with the answers although it should."""
        return unless(
            {
                "the pool waits": min(facts["waiting_for_locks"]) == POOL + 1,
                "requests fail": set(facts["answer_status"]) == {500},
            }
        )


class LockBehindLateHttp(LockBehindHttp):
    """The application gives up after a while and answers what it knows: late, and without error."""

    truth = "X09"

    def database(self, place: PostgresPlace) -> dict[str, Any]:
        return {
            **super().database(place),
            "lock_timeout": GIVES_UP_MS,
            "timeout": 20,
            "workers": WORKERS,
        }

    def unanswered(self, facts: Facts) -> list[str]:
        return unless(
            {
                "workers wait": max(facts["waiting_for_locks"]) >= WORKERS,
                "requests succeed": set(facts["answer_status"]) == {200},
                "late": min(facts["response_seconds"]) > 1,
            }
        )


SCENARIO = Scenario("X08", (Placement(LockBehindHttp()),))
LATE = Scenario("X09", (Placement(LockBehindLateHttp()),), has_twin=False)
