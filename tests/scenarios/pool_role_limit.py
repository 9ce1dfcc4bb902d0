"""The application's role has a connection limit of its own, and reaches it."""

from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.apps import start_worker
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

POOL = 4
PROCESSES = 3


class PoolRoleLimit(PostgresFault):
    """3 processes with pools of 4 want more than their role's limit; the twin's limit fits.

    All 3 are declared; in variant 1 only 2 are, whose pools fit, and the third is one that an
    earlier release left behind. The twin's has ended.
    """

    truth = "P13"
    background = 0

    def _declared(self, place: PostgresPlace) -> int:
        return PROCESSES - place.variant

    def _limit(self, place: PostgresPlace, twin: bool) -> int:
        return POOL * self._declared(place) if twin else 8 + place.variant + place.seed % 3

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"workers": self._declared(place), "pool_size": POOL}

    async def _limited(self, place: PostgresPlace, *, twin: bool) -> None:
        limit = self._limit(place, twin)
        admin = await asyncpg.connect(place.server.admin_url())
        await admin.execute(f'ALTER ROLE "{place.names.role}" CONNECTION LIMIT {limit}')
        await admin.close()
        for _ in range(self._declared(place) if twin else PROCESSES):
            await start_worker(place, POOL)

    async def inject(self, place: PostgresPlace) -> None:
        await self._limited(place, twin=False)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._limited(place, twin=True)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        rows, server = await place.oracle.sessions(), await place.oracle.server()
        own = sum(row["role"] == place.names.role for row in rows)
        return {
            "own_connections": [own],
            "role_limit": [self._limit(place, twin)],
            "free_slots": [server["usable_slots"] - len(rows)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        limit = self._limit(place, twin)
        return unless(
            {
                # one that is being refused is counted for a moment
                "the role reaches its limit": limit == min(facts["own_connections"]),
                "the role is refused": set(facts["login_refused"]) == {True},
                "the server has room": min(facts["free_slots"]) > 10,
            }
        )


SCENARIO = Scenario("P13", (Placement(PoolRoleLimit()),))
