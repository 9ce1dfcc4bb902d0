"""One session keeps the application's own lock, and all others wait for it."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

WORKERS = 4


class LockAdvisory(PostgresFault):
    """A connection went back to its pool with the lock on it, or its transaction stays open
    (variant 1). In the twin workers take turns, and standbys wait for their leader."""

    truth = "P17"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": WORKERS + 1}

    async def inject(self, place: PostgresPlace) -> None:
        holder = await place.connect(place.names.jobs[0])
        if _by_session(place):
            await holder.execute(f"SELECT pg_advisory_lock({_numbers(place)})")
        else:
            await holder.execute(f"BEGIN; SELECT pg_advisory_xact_lock({_numbers(place)})")
        for _ in range(WORKERS):
            place.run(_work(place, 0.01))

    async def inject_twin(self, place: PostgresPlace) -> None:
        for _ in range(WORKERS):
            place.run(_work(place, 0.01))
        for _ in range(2):
            place.run(_lead(place))
            await asyncio.sleep(0.1)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(
            "SELECT DISTINCT classid::text || '/' || objid::text AS key FROM pg_locks"
            " WHERE locktype = 'advisory' AND NOT granted"
        )
        level = "session" if _by_session(place) else "transaction"
        return {"advisory_keys": [row["key"] for row in rows], "advisory_levels": [level]}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting = facts["waiting_for_locks"]
        if twin:
            return unless({"a standby waits": min(waiting) >= 1})
        return unless(
            {
                f"{WORKERS} sessions wait": set(waiting) == {WORKERS},
                "one blocks them all": len(set(facts["lock_heads"])) == 1,
                "for one key": len(set(facts["advisory_keys"])) == 1,
            }
        )


def _by_session(place: PostgresPlace) -> bool:
    return place.variant == 0


def _numbers(place: PostgresPlace) -> str:
    low = 1000 + place.seed
    return (str(low), f"{low}, 7", str(low << 34), str(-low))[place.seed % 4]


async def _work(place: PostgresPlace, seconds: float) -> None:
    """Does its work under the lock, again and again."""
    connection = await place.connect(place.names.application)
    while True:
        async with connection.transaction():
            await connection.execute(
                f"SELECT pg_advisory_xact_lock({_numbers(place)})", timeout=600
            )
            await asyncio.sleep(seconds)
        await asyncio.sleep(4 * seconds)


async def _lead(place: PostgresPlace) -> None:
    connection = await place.connect(place.names.jobs[1])
    await connection.execute("SELECT pg_advisory_lock(1)", timeout=600)
    await asyncio.sleep(600)


SCENARIO = Scenario("P17", (Placement(LockAdvisory()),))
