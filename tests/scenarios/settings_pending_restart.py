"""A setting was changed that the running server takes only when it starts."""

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.switches import change_file, switch


class SettingsPendingRestart(PostgresFault):
    """Somebody raised a limit with ALTER SYSTEM and reloaded, or a deployment wrote another file
    (variant 1). The twin's change is one that a reload puts in force, or was taken back."""

    truth = "P20"

    async def inject(self, place: PostgresPlace) -> None:
        changed = {_name(place): str(place.random.randint(60, 200))}
        if place.variant:
            await change_file(place, changed)
        else:
            await switch(place, changed)

    async def inject_twin(self, place: PostgresPlace) -> None:
        if place.variant:
            await self.inject(place)
            await change_file(place, {_name(place): _before(place)})
        else:
            await switch(place, {"work_mem": "8MB", "log_min_duration_statement": "1s"})

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        rows = await admin.fetch("SELECT name FROM pg_settings WHERE pending_restart")
        in_force = await admin.fetchval("SELECT current_setting($1)", _name(place))
        return {"pending": [row["name"] for row in rows], "in_force": [in_force]}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "it waits or not": set(facts["pending"]) == (set() if twin else {_name(place)}),
                "the old value holds": set(facts["in_force"]) == {_before(place)},
            }
        )


def _name(place: PostgresPlace) -> str:
    return "max_locks_per_transaction" if place.variant else "max_connections"


def _before(place: PostgresPlace) -> str:
    return "64" if place.variant else "30"


SCENARIO = Scenario("P20", (Placement(SettingsPendingRestart()),))
