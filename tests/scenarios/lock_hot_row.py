"""All writers want the same row."""

from collections.abc import Mapping
from statistics import median

from tests.scenarios.frame.apps import add_to_row
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

WRITERS = 20


class LockHotRow(PostgresFault):
    """20 writers on one row; the twin's 20 write to 20 rows."""

    truth = "S10"

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"workers": 4, "pool_size": WRITERS // 4}

    async def inject(self, place: PostgresPlace) -> None:
        row, hold = place.random.randint(1, 100), place.random.uniform(0.05, 0.1)
        for _ in range(WRITERS):
            place.run(add_to_row(place, row, hold))

    async def inject_twin(self, place: PostgresPlace) -> None:
        first, hold = place.random.randint(1, 100), place.random.uniform(0.05, 0.1)
        for number in range(WRITERS):
            place.run(add_to_row(place, first + number, hold))

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        writing = max(facts["used_slots"]) >= WRITERS
        if twin:
            nobody_waits = max(facts["waiting_for_locks"]) == 0
            return unless({"20 writers are there": writing, "nobody waits": nobody_waits})
        return unless(
            {
                "20 writers are there": writing,
                "nearly all wait": median(facts["waiting_for_locks"]) >= WRITERS * 0.8,
                "the head changes": len(set(facts["lock_heads"])) > 1,
                "for one table": len(set(facts["wanted_tables"])) == 2,
            }
        )


SCENARIO = Scenario("S10", (Placement(LockHotRow()),))
