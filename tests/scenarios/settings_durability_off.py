"""A setting of a bulk load, or of a rescue, was left as it was: a crash may destroy the data."""

from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.switches import SAFE, switch


class SettingsDurabilityOff(PostgresFault):
    """``fsync`` and ``full_page_writes`` are off, or ``zero_damaged_pages`` is on (variant 1). The
    twin's ``synchronous_commit`` is off, which corrupts nothing, or it is only for the role of the
    rescue."""

    truth = "P19"
    remote = True

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return SAFE

    async def inject(self, place: PostgresPlace) -> None:
        harm = {"fsync": "off", "full_page_writes": "off"}
        await switch(place, {"zero_damaged_pages": "on"} if place.variant else harm)

    async def inject_twin(self, place: PostgresPlace) -> None:
        if not place.variant:
            await switch(place, {"synchronous_commit": "off"})
            return
        admin = await asyncpg.connect(place.server.admin_url())
        try:
            await admin.execute("CREATE ROLE rescue SUPERUSER")
            await admin.execute("ALTER ROLE rescue SET zero_damaged_pages = on")
        finally:
            await admin.close()

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        name = "zero_damaged_pages" if place.variant else "fsync"
        pages = await admin.fetchval("SELECT current_setting('full_page_writes')")
        value = await admin.fetchval("SELECT current_setting($1)", name)
        return {"switch": [name], "switched_to": [value], "page_writes": [pages]}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        safe = {"off"} if place.variant else {"on"}
        value, pages = set(facts["switched_to"]), set(facts["page_writes"])
        return unless(
            {
                "it is switched or not": (value == safe) == twin,
                "so are the pages": (pages == {"on"}) == (twin or bool(place.variant)),
            }
        )


SCENARIO = Scenario("P19", (Placement(SettingsDurabilityOff()),))
