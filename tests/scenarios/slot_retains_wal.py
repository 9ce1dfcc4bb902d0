"""A replication slot whose consumer is gone has used up the WAL that it may keep."""

from collections.abc import Mapping

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

MESSAGES = 6
SIZE = 16_000_000


class SlotRetainsWal(PostgresFault):
    """100 MB of WAL behind a slot that may keep 16, of a standby or of a program that decodes the
    changes; the twin's slot may keep them all."""

    truth = "S16"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        limit = "1GB" if twin else "16MB"
        return {
            "max_slot_wal_keep_size": limit,
            "max_wal_size": "64MB",
            "min_wal_size": "32MB",
            "wal_level": "logical",
        }

    async def inject(self, place: PostgresPlace) -> None:
        admin = await place.oracle.connection()
        create = (
            "SELECT pg_create_logical_replication_slot($1, 'pgoutput')"
            if place.variant
            else "SELECT pg_create_physical_replication_slot($1, true)"
        )
        await admin.execute("CHECKPOINT")
        await admin.fetch(create, _slot(place))
        for _ in range(MESSAGES):
            await admin.fetch("SELECT pg_logical_emit_message(false, 'x', repeat('x', $1))", SIZE)
        await admin.fetch("SELECT pg_switch_wal()")
        await admin.execute("CHECKPOINT")

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self.inject(place)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(
            "SELECT slot_name, active, wal_status,"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 AS kept"
            " FROM pg_replication_slots"
        )
        return {
            "slot_names": [row["slot_name"] for row in rows],
            "slot_statuses": [row["wal_status"] for row in rows],
            "slots_in_use": [row["active"] for row in rows],
            "slot_kept_bytes": [row["kept"] for row in rows if row["kept"] is not None],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        statuses = set(facts["slot_statuses"])
        kept = min(facts["slot_kept_bytes"], default=0)
        return unless(
            {
                "the slot": facts["slot_names"] == [_slot(place)] * len(facts["slot_names"]),
                "nobody reads it": not any(facts["slots_in_use"]),
                "it is lost or not": statuses <= {"reserved", "extended"}
                if twin
                else statuses == {"lost"},
                "what the twin keeps": not twin or kept >= MESSAGES * SIZE * 0.9,
            }
        )


def _slot(place: PostgresPlace) -> str:
    return place.names.other.replace("-", "_")


SCENARIO = Scenario("S16", (Placement(SlotRetainsWal()),))
