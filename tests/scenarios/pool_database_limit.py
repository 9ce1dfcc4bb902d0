"""The application's database has a connection limit of its own, and reaches it."""

from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.apps import start_worker
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

POOL = 4
PROCESSES = 3
NOTEBOOKS = 9


class PoolDatabaseLimit(PostgresFault):
    """3 processes with pools of 4 want more than their database's limit, and the doctor is refused
    too; in variant 1 somebody's idle sessions leave one connection of it to all others. The twin's
    limit fits, or these sessions are in another database."""

    truth = "P37"
    background = 0

    def blind(self, place: PostgresPlace) -> bool:
        return place.variant == 0

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"workers": _processes(place), "pool_size": POOL}

    async def inject(self, place: PostgresPlace) -> None:
        wanted = POOL * PROCESSES
        limit = POOL + NOTEBOOKS + 1 if place.variant else wanted - 2 - place.seed % 3
        await _limited(place, limit, place.names.database)

    async def inject_twin(self, place: PostgresPlace) -> None:
        limit = POOL + NOTEBOOKS + 1 if place.variant else POOL * PROCESSES + 2
        await _limited(place, limit, "postgres")

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        limit = await admin.fetchval(
            "SELECT datconnlimit FROM pg_database WHERE datname = current_database()"
        )
        used = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        rows, server = await place.oracle.sessions(), await place.oracle.server()
        return {
            "database": [place.names.database],
            "database_connections": [used],
            "database_limit": [limit],
            "most_of_application": [
                place.names.jobs[0] if place.variant else place.names.application
            ],
            "free_slots": [server["usable_slots"] - len(rows)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        used, limit = max(facts["database_connections"]), facts["database_limit"][0]
        wanted = limit - place.variant
        return unless(
            {
                # one that is being refused is counted for a moment
                "the limit is reached or not": used <= limit - 2 if twin else used >= wanted,
                "its logins are refused or not": set(facts["login_refused"])
                == {not twin and self.blind(place)},
                "the server has room": min(facts["free_slots"]) > 10,
            }
        )


def _processes(place: PostgresPlace) -> int:
    return 1 if place.variant else PROCESSES


async def _limited(place: PostgresPlace, limit: int, notebooks_in: str) -> None:
    names = place.names
    admin = await asyncpg.connect(place.server.admin_url())
    await admin.execute(f'ALTER DATABASE "{names.database}" CONNECTION LIMIT {limit}')
    await admin.close()
    for _ in range(_processes(place)):
        await start_worker(place, POOL)
    for _ in range(NOTEBOOKS if place.variant else 0):
        notebook = await asyncpg.connect(
            place.server.url(names.role, None, notebooks_in),
            server_settings={"application_name": names.jobs[0]},
        )
        place.jobs.push_async_callback(notebook.close)


SCENARIO = Scenario("P37", (Placement(PoolDatabaseLimit()),))
