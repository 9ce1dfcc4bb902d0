"""A long report on a standby keeps vacuum from old rows on the primary."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts, until_true
from tests.scenarios.frame.place import PostgresPlace, Session
from tests.scenarios.frame.standbys import pass_by, session_at, standby_name, start_standby

PASSED = 60_000
_HELD = """
SELECT application_name AS name, age(backend_xmin) AS xids FROM pg_stat_replication
UNION ALL SELECT slot_name, age(xmin) FROM pg_replication_slots
"""


class XminHeldByStandby(PostgresFault):
    """hot_standby_feedback tells the primary of the report, by the connection or by its slot. The
    twin's standby does not tell of its report; or the report begins anew all the time.

    60,000 transactions are few, which the limits allow for.
    """

    truth = "S43"
    limits: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "postgres.xmin_horizon": {"warning_xids": PASSED // 2}
    }

    async def inject(self, place: PostgresPlace) -> None:
        await self._follow(place, feedback="on", renewed=False)

    async def inject_twin(self, place: PostgresPlace) -> None:
        feedback = "on" if place.variant else "off"
        await self._follow(place, feedback=feedback, renewed=place.variant == 1)

    async def _follow(self, place: PostgresPlace, *, feedback: str, renewed: bool) -> None:
        slot = f"{standby_name(place)}_slot" if place.variant else ""
        standby = await start_standby(place, {"hot_standby_feedback": feedback}, slot)
        report = await session_at(place, standby, place.names.jobs[0])
        await _begin(place, report)
        if feedback == "on":
            held = f"SELECT bool_or(xids IS NOT NULL) FROM ({_HELD}) AS held"
            await until_true(await place.oracle.connection(), held)
        if renewed:
            place.run(_renew(place, report))
        await pass_by(place, PASSED)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(_HELD)
        return {
            "standbys": [row["name"] for row in rows],
            "held_xids": [row["xids"] for row in rows if row["xids"] is not None],
            "holder_names": [row["name"] for row in rows if row["xids"] is not None],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        xids = facts["held_xids"]
        if twin:
            return unless(
                {
                    "a standby is there": standby_name(place) in facts["standbys"],
                    "it holds nothing old": max(xids, default=0) < PASSED // 3,
                }
            )
        return unless({"it holds old rows": min(xids, default=0) >= PASSED})


async def _begin(place: PostgresPlace, report: Session) -> None:
    await report.execute(
        f"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {place.names.table}"
    )


async def _renew(place: PostgresPlace, report: Session) -> None:
    while True:
        await asyncio.sleep(0.3)
        await report.execute("COMMIT")
        await _begin(place, report)


SCENARIO = Scenario("S43", (Placement(XminHeldByStandby()),))
