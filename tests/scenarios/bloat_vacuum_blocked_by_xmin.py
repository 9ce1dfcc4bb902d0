"""Rows are updated again and again while one old transaction may still need all of them."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import ROWS, PostgresPlace

MORE_ROWS = 10_000
_DEAD = """
SELECT n_dead_tup AS dead, n_dead_tup::float8 / greatest(1, n_dead_tup + n_live_tup) AS share
  FROM pg_stat_user_tables WHERE relname = $1
"""
_HOLDERS = """
SELECT pid, NULL AS gid FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND state = 'idle in transaction' AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
UNION ALL SELECT NULL, gid FROM pg_prepared_xacts
"""


async def fill(place: PostgresPlace) -> None:
    """Makes the table large enough to matter."""
    names = place.names
    owner = await place.connect(names.application)
    await owner.execute(
        f"INSERT INTO {names.table} SELECT id, id % 97, repeat('x', 40)"
        f" FROM generate_series({ROWS + 1}, {ROWS + MORE_ROWS}) AS id"
    )
    # else VACUUM counts the rows, and the load is counted once more after it
    await owner.execute("SELECT pg_stat_force_next_flush()")
    await owner.execute(f"VACUUM ANALYZE {names.table}")


async def update(place: PostgresPlace, share: float, times: int) -> None:
    """Updates a share of the rows, several times."""
    names = place.names
    owner = await place.connect(names.application)
    for _ in range(times):
        await owner.execute(
            f"UPDATE {names.table} SET {names.column} = {names.column} + 1"
            f" WHERE id <= {round((ROWS + MORE_ROWS) * share)}"
        )
    # else an idle session's last counts come seconds later, and after a VACUUM's
    await owner.execute("SELECT pg_stat_force_next_flush()")


async def dead_rows(place: PostgresPlace) -> Facts:
    """What the server counts, and who holds the horizon."""
    connection = await place.oracle.connection()
    row = await connection.fetchrow(_DEAD, place.names.table)
    assert row is not None
    holders = await connection.fetch(_HOLDERS)
    return {
        "dead_rows": [row["dead"]],
        "dead_share": [row["share"]],
        "horizon_pids": [holder["pid"] for holder in holders if holder["pid"]],
        "horizon_holders": [holder["pid"] or holder["gid"] for holder in holders],
        "bloated_tables": [f"public.{place.names.table}"],
    }


class BloatVacuumBlockedByXmin(PostgresFault):
    """80 % dead rows behind a forgotten report, or a job that has written, or a transaction that
    nobody owns since it was prepared; the twin has 15 %, for which vacuum does not come yet, and
    one of these that begins anew all the time."""

    truth = "S07"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"autovacuum_naptime": "1s", "max_prepared_transactions": 2}

    async def inject(self, place: PostgresPlace) -> None:
        await fill(place)
        job = await place.connect(place.names.jobs[0])
        if place.variant:
            await job.execute(_prepare(place))
        elif place.random.random() < 0.5:
            await job.execute(f"BEGIN; {_write(place)}")
        else:
            await job.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ;"
                f" SELECT count(*) FROM {place.names.quiet_table}"
            )
        await update(place, 1.0, place.random.randint(4, 5))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await fill(place)
        await update(place, 0.176, 1)
        place.run(_commit(place) if place.variant else _report(place))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        return await dead_rows(place)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        share = facts["dead_share"]
        if twin:
            return unless({"15 % are dead": all(0.1 < seen < 0.17 for seen in share)})
        return unless(
            {
                "80 % are dead": min(share) > 0.75,
                "one holds the horizon": len(set(facts["horizon_holders"])) == 1,
            }
        )


def _write(place: PostgresPlace) -> str:
    return f"UPDATE {place.names.quiet_table} SET label = 'y' WHERE id = 1"


def _prepare(place: PostgresPlace) -> str:
    return f"BEGIN; {_write(place)}; PREPARE TRANSACTION '{place.names.jobs[1]}-1'"


async def _commit(place: PostgresPlace) -> None:
    job = await place.connect(place.names.jobs[0])
    while True:
        await job.execute(_prepare(place))
        await asyncio.sleep(place.random.uniform(0.2, 0.4))
        await job.execute(f"COMMIT PREPARED '{place.names.jobs[1]}-1'")
        await asyncio.sleep(0.1)


async def _report(place: PostgresPlace) -> None:
    job = await place.connect(place.names.jobs[0])
    while True:
        async with job.transaction(isolation="repeatable_read"):
            await job.execute(f"SELECT count(*) FROM {place.names.quiet_table}")
            await asyncio.sleep(place.random.uniform(0.2, 0.4))
        await asyncio.sleep(0.1)


SCENARIO = Scenario("S07", (Placement(BloatVacuumBlockedByXmin()),))
