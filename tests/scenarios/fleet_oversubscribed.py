"""All processes of the service together want more connections than the server has."""

from collections.abc import Mapping

from tests.scenarios.frame.apps import start_worker
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

POOL = 5
PROCESSES = 8
PROCESSES_THAT_FIT = 5


class FleetOversubscribed(PostgresFault):
    """8 processes with pools of 5 want 40 of 27 slots; the twin's 5 processes get their 25."""

    truth = "P04"
    background = 0

    def settings(self, version: int, twin: bool) -> Mapping[str, int]:
        return {"reserved_connections": 1} if version >= 16 else {}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"workers": PROCESSES_THAT_FIT if twin else PROCESSES, "pool_size": POOL}

    def blind(self, place: PostgresPlace) -> bool:
        return place.version < 16

    async def inject(self, place: PostgresPlace) -> None:
        for _ in range(PROCESSES):
            await start_worker(place, POOL)

    async def inject_twin(self, place: PostgresPlace) -> None:
        for _ in range(PROCESSES_THAT_FIT):
            await start_worker(place, POOL)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        used, usable = facts["used_slots"], facts["usable_slots"]
        idle_share = min(facts["idle_connections"]) / max(*used, 1)
        wanted = POOL * PROCESSES_THAT_FIT if twin else usable[-1]
        return unless(
            {
                # one that is being refused is counted for a moment
                f"{wanted} slots are taken": min(used) == wanted <= max(used) <= wanted + 2,
                "another is let in" if twin else "another is refused": (
                    set(facts["login_refused"]) == {not twin}
                ),
                "most connections idle": idle_share > 0.5,
            }
        )


SCENARIO = Scenario("P04", (Placement(FleetOversubscribed()),))
