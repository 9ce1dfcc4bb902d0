"""Vacuum does not get old transaction ids frozen in time."""

import asyncio
from collections.abc import Mapping

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.standbys import pass_by
from tests.servers.wraparound import skip_transactions

FREEZE = 100_000
ALL_IDS = 2_100_000_000
_AGES = """
SELECT datname AS name, age(datfrozenxid) AS xids FROM pg_database
"""


class WraparoundVacuumBehind(PostgresFault):
    """A prepared transaction that nobody owns keeps vacuum from freezing for 2.5 times the age at
    which it freezes by force; or two thirds of all ids are used, and a throttled autovacuum crawls.
    The twin passed as many ids, and nothing is in vacuum's way; or it used a third.

    Ids are skipped as pg_resetwal skips them: 1.4 billion would take hours.
    """

    truth = "S25"
    background = 0

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {
            "autovacuum_freeze_max_age": FREEZE,
            "max_prepared_transactions": 2,
            "autovacuum_naptime": "1s",
        }

    async def inject(self, place: PostgresPlace) -> None:
        if place.variant:
            await _skip_to(place, round(ALL_IDS * 0.66) + 1_000_000 * (place.seed % 7))
            return
        owner = await place.connect(place.names.jobs[0])
        sql = f"UPDATE {place.names.quiet_table} SET label = 'y' WHERE id = 1"
        await owner.execute(f"BEGIN; {sql}; PREPARE TRANSACTION '{_gid(place)}'")
        await pass_by(place, round(FREEZE * 2.2))

    async def inject_twin(self, place: PostgresPlace) -> None:
        if place.variant:
            await _skip_to(place, round(ALL_IDS * 0.33))
        else:
            await pass_by(place, round(FREEZE * 2.2))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch(_AGES)
        oldest = max(row["xids"] for row in rows)
        return {
            "oldest_xids": [oldest],
            "freeze_max_age": [FREEZE],
            "databases": [row["name"] for row in rows if row["xids"] == oldest],
            "holders": [_gid(place)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        oldest, share = min(facts["oldest_xids"]), min(facts["oldest_xids"]) / ALL_IDS
        if place.variant:
            high = 0.3 < share < 0.5 if twin else share > 0.62
            return unless({"so many ids are used": high})
        return unless({"vacuum is late": twin or oldest > 2 * FREEZE})


def _gid(place: PostgresPlace) -> str:
    return f"{place.names.jobs[0]}-1"


async def _skip_to(place: PostgresPlace, xid: int) -> None:
    """Lets the server begin again at a later id, and vacuum crawl from then on."""
    server = place.server
    admin = await place.oracle.connection()
    for name, value in (("cost_limit", "1"), ("cost_delay", "100")):
        await admin.execute(f"ALTER SYSTEM SET autovacuum_vacuum_{name} = {value}")
    await place.oracle.leave()
    await asyncio.to_thread(server.halt)
    await asyncio.to_thread(skip_transactions, server, xid)
    await asyncio.to_thread(server.restart)


SCENARIO = Scenario("S25", (Placement(WraparoundVacuumBehind()),))
