"""Leaked transactions hold their snapshots, and vacuum has to leave all rows that died since."""

from collections.abc import Mapping

from tests.scenarios.bloat_vacuum_blocked_by_xmin import dead_rows, fill, update
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.leak_idle_in_transaction import LeakIdleInTransaction


class LeakAndBlockedVacuum(LeakIdleInTransaction):
    """5 leaked connections, which have read or locked a row, and 80 % dead rows; the twin's 5
    cycle, and 15 % are dead."""

    truth = "X06"

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"autovacuum_naptime": "1s"}

    def _statement(self, place: PostgresPlace) -> str:
        locking = f"SELECT label FROM {place.names.table} WHERE id = $1 FOR KEY SHARE"
        return locking if place.variant else super()._statement(place)

    async def inject(self, place: PostgresPlace) -> None:
        await fill(place)
        await super().inject(place)
        await update(place, 1.0, 4)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await fill(place)
        await super().inject_twin(place)
        await update(place, 0.176, 1)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        return await dead_rows(place)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        share = facts["dead_share"]
        as_meant = max(share) < 0.17 if twin else min(share) > 0.75
        return [
            *super().missing(place, facts, twin),
            *unless({"as many rows as meant are dead": as_meant}),
        ]


SCENARIO = Scenario("X06", (Placement(LeakAndBlockedVacuum()),))
