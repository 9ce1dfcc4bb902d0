"""One slow statement takes all of PgBouncer's connections; the same clients queue behind it."""

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import clients

CLIENTS = 9
SECONDS = 3.5


class SlowStatementBehindPooler(PooledFault):
    """9 clients run a statement of 3.5 s on 3 connections; the twin has 2 such clients.

    All ask for the same, or each for rows of its own (variant 1).
    """

    truth = "P16"
    size = 3

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        statement = f"SELECT min(label), pg_sleep({SECONDS}) FROM {place.names.table}"
        for number in range(2 if twin else CLIENTS):
            own = f" WHERE id > {100 + number}" if place.variant == 1 else ""
            clients(place, self.pooler(place), 1, statement + own)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting = set(facts["pool_waiting"]) == {0} if twin else min(facts["pool_waiting"]) >= 5
        active = 2 if twin else self.size
        return unless(
            {
                "clients wait as meant": waiting,
                "the statement runs": max(facts["pool_active"]) == active,
            }
        )


SCENARIO = Scenario("P16", (Placement(SlowStatementBehindPooler()),))
