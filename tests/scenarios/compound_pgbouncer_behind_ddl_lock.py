"""A schema change blocks the requests behind PgBouncer, so its pool fills and clients wait."""

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import clients
from tests.scenarios.lock_ddl_queue import jam, request

CLIENTS = 12


class DdlLockBehindPooler(PooledFault):
    """12 clients ask over 4 connections, all of which wait behind an ALTER TABLE."""

    kind = "postgres"
    truth = "X07"
    size = 4

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        names = place.names
        await jam(place, names.quiet_table if twin else names.table)
        clients(place, self.pooler(place), self.size if twin else CLIENTS, request(place), 0.05)

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        if twin:
            return unless({"nobody waits": max(facts["waiting_for_locks"]) == 0})
        return unless(
            {
                "the pool and the ALTER wait": set(facts["waiting_for_locks"]) == {self.size + 1},
                "clients wait": set(facts["pool_waiting"]) == {CLIENTS - self.size},
                "one ALTER waits": len(set(facts["waiting_ddl_pids"])) == 1,
            }
        )


SCENARIO = Scenario("X07", (Placement(DdlLockBehindPooler()),))
