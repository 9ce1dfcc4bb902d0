"""Cumulative counters of the server: they mean something as rates between two looks."""

from typing import Self

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.facts import Fact

_SQL = """
SELECT coalesce(sum(sessions), 0)::int8 AS sessions,
       coalesce(sum(xact_commit + xact_rollback), 0)::int8 AS transactions,
       coalesce(max(stats_reset)::text, '') AS reset_at,
       pg_postmaster_start_time()::text AS started_at
  FROM pg_stat_database WHERE datid <> 0
"""


class ConnectionCounters(Fact, frozen=True):
    """Sessions established and transactions ended since the statistics were reset.

    Over all databases; ``own_statements`` of ours so far are among the transactions.
    """

    sessions: int
    transactions: int
    reset_at: str
    started_at: str
    own_statements: int

    @property
    def epoch(self) -> str:
        """The server's start and the last reset."""
        return f"{self.started_at} {self.reset_at}"

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement; needs PostgreSQL 14 for ``sessions``."""
        row = (await db.fetch(_SQL))[0]
        return cls(**row, own_statements=db.statements)
