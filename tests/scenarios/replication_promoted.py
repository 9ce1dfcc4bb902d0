"""What is declared as a replica is a primary, and goes its own way."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.apps import browse
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.standbys import examine, start_standby

_STATE = """
SELECT pg_is_in_recovery() AS standby, (pg_control_checkpoint()).timeline_id::int AS timeline
"""


class ReplicationPromoted(PostgresFault):
    """Somebody promoted it; or it was restored from a copy and never followed. The twin follows;
    or its promotion was planned, and the configuration calls it a primary."""

    truth = "S27"
    background = 0

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"role": "primary" if twin and place.variant else "replica"}

    async def inject(self, place: PostgresPlace) -> None:
        await _copy(place, promoted=not place.variant, restored=place.variant == 1)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _copy(place, promoted=place.variant == 1)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        row = await admin.fetchrow(_STATE)
        assert row is not None
        role = self.declares(place, twin)["role"]
        return {
            "in_recovery": [row["standby"]],
            "timeline": [row["timeline"]],
            "declared_role": [f"role: {role}"],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        follows = twin and not place.variant
        return unless({"it follows or not": set(facts["in_recovery"]) == {follows}})


async def _copy(place: PostgresPlace, *, promoted: bool, restored: bool = False) -> None:
    copy = await start_standby(place)
    if restored:
        await asyncio.to_thread(copy.halt)
        (copy.data / "standby.signal").unlink()
        await asyncio.to_thread(copy.restart)
    await place.oracle.leave()
    examine(place, copy)
    if promoted:
        await (await place.oracle.connection()).execute("SELECT pg_promote()")
    for _ in range(2):
        place.run(browse(place, place.names.application, place.names.table, 0.05))


SCENARIO = Scenario("S27", (Placement(ReplicationPromoted()),))
