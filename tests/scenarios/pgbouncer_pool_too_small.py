"""Forty clients share two server connections for short statements; PostgreSQL has room."""

from collections.abc import Mapping

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import clients

CLIENTS = 40
SECONDS = 0.1


class PoolTooSmall(PooledFault):
    """40 clients want 2 connections for 0.1 s each; the twin's 2 keep both busy, none waits.

    The pool itself is so small, or max_db_connections bounds it (variant 1).
    """

    truth = "P08"

    def pooler_settings(self, place: PostgresPlace, twin: bool) -> Mapping[str, int | str]:
        if place.variant == 1:
            return {"default_pool_size": 20, "max_db_connections": self.size}
        return {}

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        table = place.names.table
        statement = f"SELECT count(*), pg_sleep({SECONDS}) FROM {table} WHERE id < 50"
        clients(place, self.pooler(place), self.size if twin else CLIENTS, statement)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting = set(facts["pool_waiting"]) == {0} if twin else min(facts["pool_waiting"]) > 30
        return unless(
            {
                "clients wait as meant": waiting,
                "the wait is long": twin or min(facts["pool_wait"]) > 1.3,
                "the pool is busy": max(facts["pool_active"]) == self.size,
                "PostgreSQL has room": min(facts["free_slots"]) > 15,
            }
        )


SCENARIO = Scenario("P08", (Placement(PoolTooSmall()),))
