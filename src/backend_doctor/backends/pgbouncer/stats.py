"""Cumulative counters of each database: they mean something as rates between two looks."""

from typing import Self

import msgspec

from backend_doctor.backends.pgbouncer.connection import ConsoleConnection
from backend_doctor.backends.pgbouncer.pools import CONSOLE
from backend_doctor.backends.pgbouncer.rows import number
from backend_doctor.facts import Absent, Fact, Looks


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Transactions ended so far, and the microseconds spent in them."""

    transactions: int
    transaction_us: int = 0


class Stats(Fact, frozen=True):
    """The counters by the name of the database. They begin with PgBouncer's start, which our
    own connection would not outlive."""

    databases: dict[str, Counters]

    @classmethod
    async def collect(cls, console: ConsoleConnection) -> Self:
        """One SHOW STATS. Raises Absent before 1.8, which counts otherwise."""
        rows = await console.show("STATS")
        if rows and "total_xact_count" not in rows[0]:
            raise Absent("SHOW STATS of this PgBouncer counts no transactions")
        return cls(
            databases={
                row.get("database", ""): Counters(
                    transactions=number(row, "total_xact_count"),
                    transaction_us=number(row, "total_xact_time"),
                )
                for row in rows
                if row.get("database") != CONSOLE
            }
        )


def transactions_per_second(stats: Looks[Stats], database: str) -> float:
    """Transactions of one database that ended between the looks, by the second."""
    nothing = Counters(transactions=0)
    first = stats.first.databases.get(database, nothing)
    last = stats.last.databases.get(database, nothing)
    return max(0, last.transactions - first.transactions) / stats.seconds
