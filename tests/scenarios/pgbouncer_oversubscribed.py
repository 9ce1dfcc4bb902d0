"""PgBouncer's pools may together ask for more connections than PostgreSQL has, and will."""

from collections.abc import Mapping, Sequence

import asyncpg
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooled import PooledFault
from tests.scenarios.frame.pooler import at_console, pool_facts

POOLS = 3
CLIENTS = 12
FEW = 6
BOUND = 20


class Oversubscribed(PooledFault):
    """36 clients idle in 3 pools of 12, over 27 slots of which few are taken; the twin's pools
    are bounded together.

    The pools are of 3 users of one database, or of one user's 3 databases (variant 1), whose
    twin has too few clients to fill them.
    """

    truth = "P29"
    size = CLIENTS

    def pooler_settings(self, place: PostgresPlace, twin: bool) -> Mapping[str, int | str]:
        return {"max_db_connections": BOUND} if twin and place.variant == 0 else {}

    def roles(self, place: PostgresPlace) -> Sequence[str]:
        return () if place.variant == 1 else _others(place.names.role)

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        names = place.names
        databases, roles = [names.database], [names.role]
        (databases if place.variant == 1 else roles).extend(
            _others(names.database if place.variant == 1 else names.role)
        )
        admin = await asyncpg.connect(place.server.admin_url())
        for role in roles[1:]:
            await admin.execute(f'CREATE ROLE "{role}" LOGIN')
        for database in databases[1:]:
            await admin.execute(f'CREATE DATABASE "{database}"')
        await admin.close()
        for role in roles:
            for database in databases:
                for _ in range(FEW if twin and place.variant == 1 else CLIENTS):
                    await self._idle(place, role, database)

    async def _idle(self, place: PostgresPlace, role: str, database: str) -> None:
        client = await asyncpg.connect(
            self.pooler(place).url(role, None, database),
            statement_cache_size=0,
            server_settings={"application_name": place.names.application},
        )
        await client.execute("SELECT 1")

        async def end() -> None:
            client.terminate()

        place.jobs.push_async_callback(end)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        pools = await at_console(self.pooler(place), "SHOW POOLS")
        databases = await at_console(self.pooler(place), "SHOW DATABASES")
        sizes = {row["name"]: row["pool_size"] + row["reserve_pool"] for row in databases}
        bounds = {row["name"]: row["max_connections"] for row in databases}
        asked = {
            name: size * sum(pool["database"] == name for pool in pools)
            for name, size in sizes.items()
        }
        wanted = (min(row["cl_active"], sizes[row["database"]]) for row in pools)
        return {
            **await pool_facts(place, self.pooler(place)),
            "possible_connections": [
                sum(min(most, bounds[name] or most) for name, most in asked.items())
            ],
            "pooled_databases": [row["database"] for row in pools],
            "wanted_connections": [sum(wanted)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        usable, clients = facts["usable_slots"][-1], POOLS * CLIENTS
        bounded = max(facts["possible_connections"]) < usable
        few = max(facts["wanted_connections"]) < usable
        return unless(
            {
                "the pools are there": len(facts["pooled_databases"]) >= POOLS,
                "they fit" if twin else "they do not fit": (bounded or few) == twin,
                "all clients are there": twin or set(facts["pool_clients"]) == {clients},
                "PostgreSQL has room": min(facts["free_slots"]) > 15,
            }
        )


def _others(name: str) -> list[str]:
    return [f"{name}-{number}" for number in range(2, POOLS + 1)]


SCENARIO = Scenario("P29", (Placement(Oversubscribed()),))
