"""How many connections the server has to give, and how many are taken."""

from typing import Self

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.limits import refusing_limit
from backend_doctor.backends.postgres.processes import ServerProcesses
from backend_doctor.facts import AbsenceKind, Absent, Fact, Login

# A role without pg_read_all_stats sees the other sessions' rows, but neither their state nor
# their backend_type; pg_stat_database.numbackends counts parallel workers as well.
_SQL = """
SELECT current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int AS superuser_reserved,
       coalesce(current_setting('reserved_connections', true), '0')::int AS reserved,
       current_setting('server_version_num')::int AS version,
       (SELECT count(*)::int FROM pg_stat_activity
         WHERE pid <> pg_backend_pid()
           AND (backend_type = 'client backend'
                OR (backend_type IS NULL AND datid IS NOT NULL))) AS used,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       current_user::text AS role,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS started_us,
       (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()))::float8 AS uptime
"""


class Slots(Fact, frozen=True):
    """Connection slots in force. ``used`` leaves our own session out.

    ``refused`` when the server had no slot for us: then ``used`` was counted from its processes
    and ``max_connections`` is unknown. ``version`` as server_version_num (150020),
    ``started_us`` microseconds since 1970, ``uptime`` seconds since then, None if unknown.
    """

    used: int
    max_connections: int | None = None
    superuser_reserved: int = 0
    reserved: int = 0
    version: int = 0
    sees_all: bool = True
    role: str = ""
    started_us: int = 0
    uptime: float | None = None
    refused: bool = False

    @property
    def usable(self) -> int:
        """Slots that an ordinary role can get: without both reserves."""
        if self.max_connections is None:
            return self.used
        return max(1, self.max_connections - self.superuser_reserved - self.reserved)

    @property
    def share(self) -> float:
        """Used slots over usable ones; above 1 when reserved slots are taken too."""
        return self.used / self.usable if self.usable else 1.0

    @property
    def epoch(self) -> str:
        """The server's start."""
        return str(self.started_us)

    @property
    def text(self) -> str:
        """The state in words."""
        if self.refused:
            return f"the server refuses new sessions with {self.used} connections taken"
        return f"{self.used} of {self.usable} usable connections are taken"

    @classmethod
    async def collect(
        cls, db: PostgresConnection | None, processes: ServerProcesses | None, login: Login
    ) -> Self:
        """One statement that any role may run, or a count of processes where we were refused.

        Raises Absent when neither is to be had.
        """
        if db is not None:
            return cls(**(await db.fetch(_SQL))[0])
        limit = refusing_limit(login)
        if limit is not None:
            raise Absent(f"{limit.text}, so the server lets us in no more", kind=AbsenceKind.LOGIN)
        if processes is None:
            raise Absent("the server has no free slot for us", kind=AbsenceKind.LOGIN)
        return cls(used=len(processes.processes), refused=True)
