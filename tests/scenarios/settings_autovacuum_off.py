"""Autovacuum is switched off for the whole server, or cannot know what there is to do."""

from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.switches import SAFE, switch


class SettingsAutovacuumOff(PostgresFault):
    """``autovacuum`` is off, or ``track_counts`` (variant 1); the twin's is so for one table, or
    for one role."""

    truth = "P38"
    remote = True

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return SAFE

    async def inject(self, place: PostgresPlace) -> None:
        await switch(place, {_name(place): "off"})

    async def inject_twin(self, place: PostgresPlace) -> None:
        names = place.names
        admin = await asyncpg.connect(place.server.admin_url(names.database))
        try:
            await admin.execute(
                f'ALTER ROLE "{names.role}" SET track_counts = off'
                if place.variant
                else f"ALTER TABLE {names.table} SET (autovacuum_enabled = off)"
            )
        finally:
            await admin.close()

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        value = await admin.fetchval("SELECT current_setting($1)", _name(place))
        return {"switch": [_name(place)], "switched_to": [value]}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless({"it is off or on": set(facts["switched_to"]) == {"on" if twin else "off"}})


def _name(place: PostgresPlace) -> str:
    return "track_counts" if place.variant else "autovacuum"


SCENARIO = Scenario("P38", (Placement(SettingsAutovacuumOff()),))
