"""Clients take all that PgBouncer allows; PostgreSQL sees none of them."""

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import clients, connect

CLIENTS = 20


class ClientLimit(PooledFault):
    """20 clients at max_client_conn 20, idle or asking once a second (variant 1); the twin's 20
    at 400."""

    truth = "P14"
    most = CLIENTS
    twin_most = 400

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        if place.variant == 1:
            clients(place, self.pooler(place), CLIENTS, "SELECT 1", 1.0)
            return
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
