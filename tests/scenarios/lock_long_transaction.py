"""A job works through a table in one transaction, and requests wait for rows that it has done."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.apps import add_to_row
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import ROWS, PostgresPlace, Session

WRITERS = 5


class LockLongTransaction(PostgresFault):
    """One UPDATE of all rows takes minutes, or a job thinks a little after each of its many
    (variant 1); the twin's UPDATE leaves out the rows that are wanted, or its job commits each."""

    truth = "P35"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": WRITERS}

    async def inject(self, place: PostgresPlace) -> None:
        await _start(place, twin=False)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _start(place, twin=True)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        seen = []
        for _ in range(5):
            rows = await place.oracle.sessions()
            seen.append(next(row for row in rows if row["application"] == place.names.jobs[0]))
            await asyncio.sleep(0.07)
        return {
            "job_pids": [row["pid"] for row in seen],
            "job_states": [row["state"] for row in seen],
            "job_stays": [row["state_change"] for row in seen],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting, stays = facts["waiting_for_locks"], len(set(facts["job_stays"]))
        works = stays > 2 if place.variant else set(facts["job_states"]) == {"active"}
        if twin:
            return unless({"it works": works, "few wait": min(waiting) <= 1})
        return unless(
            {
                "it works": works,
                f"{WRITERS} sessions wait": set(waiting) == {WRITERS},
                "for the job": set(facts["lock_heads"]) == set(facts["job_pids"]),
            }
        )


async def _start(place: PostgresPlace, *, twin: bool) -> None:
    job = await place.connect(place.names.jobs[0])
    place.run(_by_rows(place, job, twin) if place.variant else _at_once(place, job, twin))
    await asyncio.sleep(1.0)
    for row in range(1, WRITERS + 1):
        place.run(add_to_row(place, row, 0.02))


async def _at_once(place: PostgresPlace, job: Session, twin: bool) -> None:
    first = ROWS // 2 if twin else 0
    statement = (
        f"UPDATE {place.names.table} SET label = 'y'"
        f" WHERE id > {first} AND pg_sleep(0.1) IS NOT NULL"
    )
    while True:
        await job.execute(statement, timeout=600)


async def _by_rows(place: PostgresPlace, job: Session, twin: bool) -> None:
    update = f"UPDATE {place.names.table} SET label = 'y' WHERE id = $1"
    if not twin:
        await job.execute("BEGIN")
    while True:
        for row in range(1, ROWS):
            await job.execute(update, row)
            await asyncio.sleep(0.03)


SCENARIO = Scenario("P35", (Placement(LockLongTransaction()),))
