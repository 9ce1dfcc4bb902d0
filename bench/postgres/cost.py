"""What a role cost its server: by the log, and by pg_stat_statements."""

import asyncio
import re
from dataclasses import dataclass

import asyncpg

from backend_doctor.demo.servers import PostgresServer

# one message may hold several statements and make one line, so they are not counted in the log
_COUNTED = r"""
SELECT coalesce(sum(calls) FILTER (WHERE query !~*
         '^\s*(BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|PREPARE|DEALLOCATE)\y'), 0)::int,
       coalesce(sum(wal_records), 0)::int
  FROM pg_stat_statements WHERE userid = to_regrole($1)::oid
"""
_DURATION = re.compile(r"LOG:  duration: ([\d.]+) ms")


def ask(server: PostgresServer, query: str, *values: object) -> asyncpg.Record:
    """The one row that a query returns, in a session of its own."""

    async def answer() -> asyncpg.Record:
        admin = await asyncpg.connect(server.admin_url())
        (row,) = await admin.fetch(query, *values)
        await admin.close()
        return row

    return asyncio.run(answer())


@dataclass(frozen=True)
class Cost:
    """Statements without those of transactions and settings; milliseconds of planning too."""

    connections: int
    statements: int
    wal_records: int
    server_ms: float
    longest_ms: float


class Books:
    """Of one role, which logs every duration, from now on."""

    def __init__(self, server: PostgresServer, role: str) -> None:
        self._server, self._role = server, role
        self._counted = self._count()
        self._read = len(server.log())

    def _count(self) -> tuple[int, int]:
        statements, records = ask(self._server, _COUNTED, self._role)
        return statements, records

    def cost(self) -> Cost:
        """What the role did since."""
        log = self._server.log()[self._read :]
        lines = [line for line in log.splitlines() if f" user={self._role}," in line]
        spent = [float(found[1]) for line in lines if (found := _DURATION.search(line))]
        statements, records = self._count()
        return Cost(
            connections=sum("connection authorized" in line for line in lines),
            statements=statements - self._counted[0],
            wal_records=records - self._counted[1],
            server_ms=sum(spent),
            longest_ms=max(spent, default=0.0),
        )
