"""Somebody keeps the rows that all others want, and does nothing with them."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.apps import add_to_row
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace, Session

WRITERS = 6
_LONGEST_QUEUE = """
SELECT coalesce(max(count), 0) FROM (
  SELECT count(*) FROM pg_locks WHERE locktype = 'tuple' GROUP BY relation, page, tuple) queue
"""


class LockIdleHolder(PostgresFault):
    """A console that was left after its UPDATE, or a transaction that was prepared and never
    ended (variant 1); in the twin both end theirs soon, and begin again."""

    truth = "P34"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"max_prepared_transactions": 2}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": WRITERS}

    async def inject(self, place: PostgresPlace) -> None:
        holder = await place.connect(place.names.jobs[0])
        await holder.execute(_take(place))
        if place.variant:
            await holder.execute(f"PREPARE TRANSACTION '{_gid(place)}'")
        _write(place)

    async def inject_twin(self, place: PostgresPlace) -> None:
        place.run(_hold_for_a_moment(place, await place.connect(place.names.jobs[0])))
        _write(place)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        prepared = await admin.fetch("SELECT gid FROM pg_prepared_xacts")
        queue = await admin.fetchval(_LONGEST_QUEUE)
        rows = await place.oracle.sessions()
        waiting = [row for row in rows if row["waits"] == "Lock"]
        heads = {pid for row in waiting for pid in row["blockers"]}
        heads -= {row["pid"] for row in waiting}
        states = [row["state"] for row in rows if row["pid"] in heads]
        return {
            "holders": [row["gid"] for row in prepared] if 0 in heads else [*heads],
            "waiting_for_one_row": [queue],
            "holder_pids": [*heads - {0}],
            "holder_states": ["prepared" if 0 in heads else state for state in states or [""]],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting = facts["waiting_for_locks"]
        if twin:
            return unless({"nobody waits all the time": min(waiting) < WRITERS})
        state = "prepared" if place.variant else "idle in transaction"
        return unless(
            {
                f"{WRITERS} sessions wait": set(waiting) == {WRITERS},
                "for one holder": len(set(facts["holders"])) == 1,
                "who does nothing": set(facts["holder_states"]) == {state},
            }
        )


def _gid(place: PostgresPlace) -> str:
    return f"{place.names.jobs[1]}-{place.seed}"


def _take(place: PostgresPlace) -> str:
    return f"BEGIN; UPDATE {place.names.table} SET label = 'y' WHERE id <= {WRITERS}"


def _write(place: PostgresPlace) -> None:
    for row in range(1, WRITERS + 1):
        place.run(add_to_row(place, row, 0.02))


async def _hold_for_a_moment(place: PostgresPlace, holder: Session) -> None:
    while True:
        await holder.execute(_take(place))
        if place.variant:
            await holder.execute(f"PREPARE TRANSACTION '{_gid(place)}'")
        await asyncio.sleep(place.random.uniform(0.2, 0.4))
        end = f"COMMIT PREPARED '{_gid(place)}'" if place.variant else "COMMIT"
        await holder.execute(end)
        await asyncio.sleep(0.3)


SCENARIO = Scenario("P34", (Placement(LockIdleHolder()),))
