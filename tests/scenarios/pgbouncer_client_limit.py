"""Idle clients take all that PgBouncer allows; PostgreSQL sees none of them."""

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import connect

CLIENTS = 20


class ClientLimit(PooledFault):
    """20 idle clients at max_client_conn 20; the twin's 20 at 400."""

    truth = "P14"
    most = CLIENTS
    twin_most = 400

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        for _ in range(CLIENTS):
            client = await connect(place, self.pooler(place), place.names.application)
            await client.execute("SELECT 1")

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "all clients are there": set(facts["pool_clients"]) == {CLIENTS},
                "none waits": set(facts["pool_waiting"]) == {0},
            }
        )


SCENARIO = Scenario("P14", (Placement(ClientLimit()),))
