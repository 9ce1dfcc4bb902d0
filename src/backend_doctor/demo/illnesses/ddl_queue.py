"""A migration waits for a long report, and everybody else waits for the migration."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "lock.ddl_queue"
TITLE = "an ALTER TABLE queues behind a long report, and all readers queue behind it"
EXIT_CODE = 2
REPORT = "SELECT o.id, pg_sleep(2) FROM orders o"
MIGRATION = "ALTER TABLE orders ADD COLUMN note text"
WAITING = 4


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """A report of many minutes, then the migration, until the shop's sessions wait."""

    async def run(application: str, statement: str) -> None:
        import asyncpg

        async with patient.administrator.session("shop", application) as session:
            # ended by whoever treats the patient
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await session.execute(statement)

    async def many_wait() -> bool:
        return await patient.administrator.sessions("wait_event_type = 'Lock'") >= WAITING

    report = asyncio.create_task(run("monthly-report", REPORT))
    await asyncio.sleep(0.5)
    migration = asyncio.create_task(run("migration", MIGRATION))
    try:
        await patient.until("a queue behind the migration", many_wait)
        yield "a migration waits for a report, and the shop's requests wait for the migration"
    finally:
        await patient.administrator.end_sessions(
            "application_name IN ('monthly-report', 'migration')"
        )
        await asyncio.gather(migration, report)
