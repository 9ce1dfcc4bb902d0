"""One slow statement takes all of PgBouncer's connections; the same clients queue behind it."""

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import clients

CLIENTS = 9
SECONDS = 3.5


class SlowStatementBehindPooler(PooledFault):
    """9 clients run a statement of 3.5 s on 3 connections; the twin has 2 such clients."""

    truth = "P16"
    size = 3

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        statement = f"SELECT min(label), pg_sleep({SECONDS}) FROM {place.names.table}"
        clients(place, self.pooler(place), 2 if twin else CLIENTS, statement)

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
