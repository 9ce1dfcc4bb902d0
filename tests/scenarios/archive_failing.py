"""WAL can no longer be archived."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts, until_true
from tests.scenarios.frame.place import PostgresPlace

_ARCHIVER = """
SELECT archived_count AS archived, failed_count AS failed, last_failed_wal AS last_failed,
       coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS failing
  FROM pg_stat_archiver
"""


class ArchiveFailing(PostgresFault):
    """The folder of the archive was never there; or it worked until the command was changed. The
    twin's was mended after the first attempts; or it is slow, and works."""

    truth = "S24"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"archive_mode": "on", "archive_command": ""}

    async def inject(self, place: PostgresPlace) -> None:
        folder = place.server.folder / "archive"
        if place.variant:
            await _archive(place, f"cp %p {place.server.folder}")
            await _switch(place)
            await _until(place, "archived", 1)
        await _archive(place, f"cp %p {folder}/%f")
        await _switch(place)
        await _until(place, "failed", 2)

    async def inject_twin(self, place: PostgresPlace) -> None:
        if place.variant:
            await _archive(place, f"sleep 0.5 && cp %p {place.server.folder}")
            for _ in range(3):
                await _switch(place)
        else:
            await _archive(place, f"test -e {place.server.folder}/made && true")
            await _switch(place)
            await _until(place, "failed", 2)
            (place.server.folder / "made").touch()
        await _until(place, "archived", 1)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        row = await admin.fetchrow(_ARCHIVER)
        assert row is not None
        return {
            "archived": [row["archived"]],
            "failed": [row["failed"]],
            "last_failed": [row["last_failed"]],
            "failing": [row["failing"]],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "it fails or not": set(facts["failing"]) == {not twin},
                "it had worked or not": (min(facts["archived"]) > 0)
                == (twin or place.variant == 1),
                "it had failed or not": (min(facts["failed"]) > 0)
                == (not twin or place.variant == 0),
            }
        )


async def _archive(place: PostgresPlace, command: str) -> None:
    admin = await place.oracle.connection()
    await admin.execute(f"ALTER SYSTEM SET archive_command = '{command}'")
    await admin.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.3)


async def _switch(place: PostgresPlace) -> None:
    admin = await place.oracle.connection()
    await admin.execute("SELECT pg_logical_emit_message(false, 'x', 'x')")
    await admin.fetch("SELECT pg_switch_wal()")


async def _until(place: PostgresPlace, count: str, least: int) -> None:
    admin = await place.oracle.connection()
    sql = f"SELECT {count}_count >= {least} FROM pg_stat_archiver"
    await until_true(admin, sql, seconds=60)


SCENARIO = Scenario("S24", (Placement(ArchiveFailing()),))
