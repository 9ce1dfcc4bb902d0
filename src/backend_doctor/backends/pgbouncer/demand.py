"""How many connections PgBouncer may ask of one PostgreSQL: arithmetic, no server asked."""

from collections.abc import Iterable

import msgspec

from backend_doctor.backends.pgbouncer.pools import Pool
from backend_doctor.backends.pgbouncer.settings import Database


class Demand(msgspec.Struct, frozen=True):
    """``possible`` with clients enough in each pool, ``now`` with the clients that are there.

    ``terms`` says how ``possible`` came about.
    """

    possible: int
    now: int
    terms: str


def demand_of(databases: Iterable[Database], pools: Iterable[Pool]) -> Demand:
    """Pool size and reserve for each user that a database has had, bounded by its limit."""
    members: dict[str, list[Pool]] = {}
    for pool in pools:
        members.setdefault(pool.database, []).append(pool)
    possible = now = 0
    terms = []
    for database in databases:
        users = members.get(database.name, [])
        if not users:
            continue
        bound = database.max_connections or len(users) * database.most
        asked = min(len(users) * database.most, bound)
        wanted = (min(pool.clients + pool.waiting, database.most) for pool in users)
        now += min(max(sum(wanted), sum(pool.servers for pool in users)), bound)
        possible += asked
        limit = (
            f" (at most {database.max_connections})" if asked < len(users) * database.most else ""
        )
        terms.append(f"{database.name} {len(users)} users x {database.most}{limit}")
    return Demand(possible, now, " + ".join(terms))
