"""A replication slot whose consumer is gone keeps vacuum from old rows."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts, until_true
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.standbys import pass_by, standby_name, start_standby

PASSED = 60_000
_SLOTS = """
SELECT slot_name AS name, active, greatest(age(xmin), age(catalog_xmin)) AS xids
  FROM pg_replication_slots
"""


class XminHeldBySlot(PostgresFault):
    """A program that decoded changes was switched off, or a standby that told what its queries
    need was; its slot stayed. The twin's program, or standby, goes on.

    60,000 transactions are few, which the limits allow for.
    """

    truth = "S42"
    limits: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "postgres.xmin_horizon": {"warning_xids": PASSED // 2}
    }

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"wal_level": "logical"}

    async def inject(self, place: PostgresPlace) -> None:
        if place.variant:
            standby = await start_standby(place, {"hot_standby_feedback": "on"}, _slot(place))
            held = "SELECT bool_and(xmin IS NOT NULL) FROM pg_replication_slots"
            await until_true(await place.oracle.connection(), held)
            await asyncio.to_thread(standby.halt)
        else:
            await _create(place)
        await pass_by(place, PASSED)

    async def inject_twin(self, place: PostgresPlace) -> None:
        if place.variant:
            await start_standby(place, {"hot_standby_feedback": "on"}, _slot(place))
        else:
            await _create(place)
            place.run(_decode(place))
        await pass_by(place, PASSED)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(_SLOTS)
        return {
            "slot_names": [row["name"] for row in rows],
            "slot_xids": [row["xids"] for row in rows if row["xids"] is not None],
            "slots_in_use": [row["active"] for row in rows],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        xids, used = facts["slot_xids"], facts["slots_in_use"]
        if twin:
            return unless(
                {
                    "the slot is young": bool(xids) and max(xids) < PASSED // 3,
                    "a standby is there": not place.variant or all(used),
                }
            )
        return unless(
            {
                "the slot is old": min(xids, default=0) >= PASSED,
                "nobody uses it": not any(used),
            }
        )


def _slot(place: PostgresPlace) -> str:
    return f"{standby_name(place)}_slot"


async def _create(place: PostgresPlace) -> None:
    admin = await place.oracle.connection()
    sql = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')"
    await admin.fetch(sql, _slot(place))


async def _decode(place: PostgresPlace) -> None:
    settings = {"application_name": place.names.jobs[0]}
    reader = await asyncpg.connect(
        place.server.admin_url(place.names.database), server_settings=settings
    )
    place.jobs.push_async_callback(reader.close)
    read = (
        "SELECT count(*) FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,"
        " 'proto_version', '1', 'publication_names', 'none')"
    )
    while True:
        # a checkpoint logs who runs, by which the slot moves on
        await reader.execute("CHECKPOINT")
        await reader.fetch(read, _slot(place))
        await asyncio.sleep(0.4)


SCENARIO = Scenario("S42", (Placement(XminHeldBySlot()),))
