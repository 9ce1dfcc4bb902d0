"""A schema change waits for a long statement, and all requests wait for the schema change."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import ROWS, PostgresPlace, Session


def _readers(place: PostgresPlace) -> int:
    return 6 + place.seed % 3


class LockDdlQueue(PostgresFault):
    """Long SELECT, ALTER TABLE behind it, readers behind that; the twin alters an idle table.

    In variant 1 all write: readers would pass the ALTER TABLE.
    """

    truth = "P05"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": _readers(place)}

    async def inject(self, place: PostgresPlace) -> None:
        await self._start(place, place.names.table)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._start(place, place.names.quiet_table)

    async def _start(self, place: PostgresPlace, altered: str) -> None:
        await jam(place, altered)
        for _ in range(_readers(place)):
            connection = await place.connect(place.names.application)
            place.run(_repeat(connection, request(place), 0.05))

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


async def jam(place: PostgresPlace, altered: str) -> None:
    """A statement that takes minutes, and a schema change after it, which is made repeatedly."""
    table, column = place.names.table, place.names.column
    slow = f"SELECT id, label, pg_sleep(0.05) FROM {table}"
    change = f"ALTER TABLE {altered} ADD COLUMN IF NOT EXISTS note text"
    if place.variant == 1:
        slow = f"UPDATE {table} SET {column} = 0 WHERE pg_sleep(0.05) IS NOT NULL"
        change = f"ALTER TABLE {altered} DISABLE TRIGGER USER"
    report, migration = [await place.connect(job) for job in place.names.jobs]
    place.run(_repeat(report, slow, 0.0))
    await asyncio.sleep(place.random.uniform(0.5, 1.0))
    place.run(_repeat(migration, change, 0.8))
    await asyncio.sleep(place.random.uniform(0.3, 0.8))


def request(place: PostgresPlace) -> str:
    """What a request does with the table: it reads a row, or writes none (variant 1)."""
    if place.variant == 1:
        return f"DELETE FROM {place.names.table} WHERE id > {place.random.randint(ROWS, 2 * ROWS)}"
    return f"SELECT count(*) FROM {place.names.table} WHERE id < {place.random.randint(20, 90)}"


async def _repeat(connection: Session, statement: str, pause: float) -> None:
    while True:
        await connection.execute(statement, timeout=600)
        await asyncio.sleep(pause)


SCENARIO = Scenario("P05", (Placement(LockDdlQueue()),))
