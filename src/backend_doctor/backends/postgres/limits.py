"""The connection limits that a role or a database has of its own, below the server's."""

import re
from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.facts import AbsenceKind, Absent, Fact, Login, Problem

# as the server counts: superusers are not held to either limit, background workers take no
# part; a limit of 0 closes a role or database on purpose
_SQL = """
SELECT l.kind, textsend(l.name) AS name, l.most, count(a.pid)::int AS used
  FROM (SELECT 'role' AS kind, oid, rolname::text AS name, rolconnlimit AS most
          FROM pg_roles WHERE rolconnlimit > 0 AND rolcanlogin AND NOT rolsuper
         UNION ALL
        SELECT 'database', oid, datname::text, datconnlimit
          FROM pg_database WHERE datconnlimit > 0 AND datallowconn) l
  LEFT JOIN pg_stat_activity a
    ON CASE l.kind WHEN 'role' THEN a.usesysid ELSE a.datid END = l.oid
       AND a.pid <> pg_backend_pid()
       AND (a.backend_type = 'client backend' OR a.backend_type IS NULL)
 GROUP BY l.kind, l.name, l.most
 ORDER BY count(a.pid)::float8 / l.most DESC, l.name
 LIMIT 100
"""
# which limit refused a login (SQLSTATE 53300), as said_in_english() has it; a full server says
# another thing
_REFUSED = r"too many connections for (?P<kind>role|database) \"(?P<name>.*)\""


class ConnectionLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit. ``kind`` is role or database; ``most`` and ``used`` are None where the limit
    refused us, so that neither could be read. Our own session is left out of ``used``."""

    kind: str
    name: str
    most: int | None = None
    used: int | None = None

    @property
    def share(self) -> float:
        """Used over the most; 1 when it refused us."""
        return (self.used or 0) / self.most if self.most else 1.0

    @property
    def text(self) -> str:
        """The state in words."""
        if self.most is None:
            return f"the connection limit of {self.kind} {self.name} is reached"
        return f"{self.used} of {self.most} connections of {self.kind} {self.name} are taken"


def refusing_limit(login: Login) -> ConnectionLimit | None:
    """The limit that a refused login names, or None: then the server itself may be full."""
    found = re.search(_REFUSED, login.message) if login.problem is Problem.FULL else None
    return ConnectionLimit(kind=found["kind"], name=found["name"]) if found else None


class ConnectionLimits(Fact, frozen=True):
    """The limits of roles and databases, the fullest first; none where nothing is limited."""

    limits: tuple[ConnectionLimit, ...] = ()
    refused: bool = False

    @classmethod
    async def collect(cls, db: PostgresConnection | None, login: Login) -> Self:
        """One statement that any role may run, or the refusal itself."""
        if db is not None:
            rows = await db.fetch(_SQL)
            return cls(limits=tuple(ConnectionLimit(**row) for row in rows))
        limit = refusing_limit(login)
        if limit is None:
            raise Absent(f"no login to {login.address}", kind=AbsenceKind.LOGIN)
        return cls(limits=(limit,), refused=True)
