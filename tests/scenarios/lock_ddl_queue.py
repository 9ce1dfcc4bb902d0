"""A schema change waits for a long SELECT, and every reader waits for the schema change."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.apps import browse
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace, Session


def _readers(place: PostgresPlace) -> int:
    return 6 + place.seed % 3


class LockDdlQueue(PostgresFault):
    """Long SELECT, ALTER TABLE behind it, readers behind that; the twin alters an idle table."""

    truth = "P05"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": _readers(place)}

    async def inject(self, place: PostgresPlace) -> None:
        await self._start(place, place.names.table)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._start(place, place.names.quiet_table)

    async def _start(self, place: PostgresPlace, altered: str) -> None:
        names = place.names
        report = await place.connect(names.jobs[0])
        place.run(read_slowly(report, names.table))
        await asyncio.sleep(place.random.uniform(0.5, 1.0))
        migration = await place.connect(names.jobs[1])
        place.run(alter(migration, altered))
        await asyncio.sleep(place.random.uniform(0.3, 0.8))
        for _ in range(_readers(place)):
            place.run(browse(place, names.application, names.table, 0.05))

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        if twin:
            return unless({"nobody waits": max(facts["waiting_for_locks"]) == 0})
        waiters = _readers(place) + 1
        return unless(
            {
                f"{waiters} sessions wait": set(facts["waiting_for_locks"]) == {waiters},
                "one blocks them all": len(set(facts["lock_heads"])) == 1,
                "one ALTER waits": len(set(facts["waiting_ddl_pids"])) == 1,
            }
        )


async def read_slowly(connection: Session, table: str) -> None:
    """One SELECT that takes minutes."""
    await connection.execute(f"SELECT id, label, pg_sleep(0.05) FROM {table}", timeout=600)


async def alter(connection: Session, table: str) -> None:
    """Adds one column after the other."""
    number = 0
    while True:
        number += 1
        await connection.execute(f"ALTER TABLE {table} ADD COLUMN note_{number} text", timeout=600)
        await asyncio.sleep(0.8)


SCENARIO = Scenario("P05", (Placement(LockDdlQueue()),))
