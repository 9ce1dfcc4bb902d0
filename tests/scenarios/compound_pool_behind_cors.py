"""A pool too small makes 500s, which lack the CORS headers: browsers complain of CORS."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import Page, page, visit
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.pool_undersized import POOL, PoolUndersized

WORKERS = 60
TIMEOUT = 0.3
TWIN_WORKERS = 4
TWIN_POOL = 8


class PoolBehindCors(PoolUndersized):
    """As the pool alone, with a short timeout and 60 workers.

    With an even seed the answers say what failed, with an odd one only that something did.
    """

    truth = "X04"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": TWIN_POOL if twin else POOL, "max_overflow": 0}

    def _here(self, place: PostgresPlace) -> Page:
        return page(place.names, place.seed)

    def entries(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        here, url = self._here(place), place.application.url
        return {
            "http": {"url": url, "health": here.path},
            "cors": {"url": url, "origins": [here.origin], "paths": [here.path]},
        }

    def task(self, place: PostgresPlace, *, size: int, workers: int) -> dict[str, Any]:
        here, task = self._here(place), super().task(place, size=size, workers=workers)
        task["database"]["timeout"] = TIMEOUT
        cors = {"allow_origins": [here.origin]}
        return {**task, "path": here.path, "cors": cors, "tells": place.seed % 2 == 0}

    async def inject(self, place: PostgresPlace) -> None:
        await place.start("webapp.py", self.task(place, size=POOL, workers=WORKERS))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await place.start("webapp.py", self.task(place, size=TWIN_POOL, workers=TWIN_WORKERS))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        here = self._here(place)
        facts = await self.seen(place, here.path, twin)
        return {**await visit(place, here), **facts}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        failed = [status for status in facts["answer_status"] if status >= 500]
        share = len(failed) / len(facts["answer_status"])
        return unless(
            {
                "requests fail as meant": share == 0 if twin else share > 0.3,
                "preflights pass": set(facts["preflight_status"]) == {200},
                "the database has room": min(facts["free_slots"]) > 10,
            }
        )


SCENARIO = Scenario("X04", (Placement(PoolBehindCors()),))
