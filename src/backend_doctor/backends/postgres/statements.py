"""What the server spent its time on: pg_stat_statements, without texts, as counters."""

from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.facts import Absence, AbsenceKind, Absent, Fact, Looks

_WHERE = """
SELECT textsend(current_database()::text) AS database, textsend(current_user::text) AS role,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       current_setting('pg_stat_statements.track', true) AS track,
       textsend((SELECT n.nspname::text FROM pg_extension e
                   JOIN pg_namespace n ON n.oid = e.extnamespace
                  WHERE e.extname = 'pg_stat_statements')) AS schema,
       (SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements') AS version,
       has_function_privilege('pg_stat_file(text)', 'EXECUTE') AS may_ask_sizes
"""
_COUNTERS = """
WITH counted AS MATERIALIZED (
  SELECT dbid, queryid, userid, calls, total_exec_time, rows,
         shared_blks_read, shared_blks_hit, temp_blks_written
    FROM {schema}.pg_stat_statements(false) WHERE toplevel AND queryid IS NOT NULL),
summed AS (
  SELECT dbid, queryid, sum(calls)::int8 AS calls, sum(total_exec_time)::float8 AS ms,
         sum(rows)::int8 AS rows, sum(shared_blks_read)::int8 AS read_blocks,
         sum(shared_blks_hit)::int8 AS hit_blocks, sum(temp_blks_written)::int8 AS temp_blocks,
         (array_agg(userid ORDER BY total_exec_time DESC))[1] AS userid
    FROM counted GROUP BY dbid, queryid)
SELECT s.queryid::text AS query_id, textsend(d.datname::text) AS database,
       textsend(pg_get_userbyid(s.userid)::text) AS role, s.calls, s.ms, s.rows,
       s.read_blocks, s.hit_blocks, s.temp_blocks,
       (SELECT count(*)::int FROM summed) AS entries,
       (SELECT dealloc FROM {schema}.pg_stat_statements_info) AS evictions,
       (SELECT stats_reset::text FROM {schema}.pg_stat_statements_info) AS reset_at,
       EXISTS (SELECT FROM pg_stat_activity a WHERE a.usename = current_user
                  AND a.pid <> pg_backend_pid()) AS shares_role
  FROM summed s LEFT JOIN pg_database d ON d.oid = s.dbid
 ORDER BY s.ms DESC LIMIT 1000
"""
_PRELOAD = (
    "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';"
    "   -- keep what it names already; restart\n"
)


class StatementStatistics(Fact, frozen=True):
    """Where pg_stat_statements stands in the connected database, and what we may see of it.

    ``track`` is its setting, "" when the library is not loaded; ``schema`` is "" when the
    extension is not in this database.
    """

    lasting: ClassVar[bool] = True

    database: str
    role: str
    sees_all: bool
    track: str = ""
    schema: str = ""
    version: str = ""
    may_ask_sizes: bool = False

    @property
    def uncounted(self) -> Absence | None:
        """Why the server counts no statements for this database, and the exact remedy; None when
        it does."""
        create = f"CREATE EXTENSION pg_stat_statements;   -- in database {self.database}"
        if not self.track:
            reason = "pg_stat_statements is not loaded"
            remedy = _PRELOAD + ("" if self.schema else create)
        elif not self.schema:
            reason = f"the extension pg_stat_statements is not in database {self.database}"
            remedy = create
        elif self.track == "none":
            reason = "pg_stat_statements counts nothing (pg_stat_statements.track = none)"
            remedy = "ALTER SYSTEM RESET pg_stat_statements.track; SELECT pg_reload_conf();"
        elif tuple(map(int, self.version.split("."))) < (1, 9):
            reason = f"the extension pg_stat_statements is of version {self.version}"
            remedy = "ALTER EXTENSION pg_stat_statements UPDATE;"
        else:
            return None
        return Absence(kind=AbsenceKind.BLIND, reason=reason, remedy=remedy.rstrip("\n"))

    @property
    def absence(self) -> Absence | None:
        """Why we see no counts, and the exact remedy; None when we do."""
        if self.uncounted or self.sees_all:
            return self.uncounted
        return Absence(
            kind=AbsenceKind.BLIND,
            reason=f"role {self.role} cannot see what others run",
            remedy=f"GRANT pg_monitor TO {quote_identifier(self.role)};",
        )

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run."""
        row = (await db.fetch(_WHERE))[0]
        return cls(**{name: value for name, value in row.items() if value is not None})


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """One statement's counters since the reset; ``ms`` of execution, waits included.

    ``role`` is the one with most of the time, ``database`` "" for one that was dropped. Blocks of
    8 KiB: those of tables and indexes read from outside shared buffers and hit within, and
    those of temporary files written.
    """

    query_id: str
    database: str
    role: str
    calls: int
    ms: float
    rows: int
    read_blocks: int = 0
    hit_blocks: int = 0
    temp_blocks: int = 0


class Statements(Fact, frozen=True):
    """The thousand statements with most time, over all databases, those in functions left out.

    ``evictions`` counts how often the server forgot rare ones for want of room, ``entries``
    the statements that it knows. ``own_role`` is set when nobody but us logs in as we do.
    """

    counted: tuple[Counted, ...]
    entries: int = 0
    evictions: int = 0
    reset_at: str = ""
    own_role: str = ""

    @property
    def epoch(self) -> str:
        """The last reset. An eviction is none: it takes what ran least."""
        return self.reset_at

    @classmethod
    async def collect(cls, db: PostgresConnection, statistics: StatementStatistics) -> Self:
        """One statement, which reads no text. Raises Absent with the remedy."""
        if (missing := statistics.absence) is not None:
            raise Absent(missing.reason, remedy=missing.remedy, kind=missing.kind)
        rows = await db.fetch(_COUNTERS.format(schema=quote_identifier(statistics.schema)))
        first = rows[0] if rows else {}
        return cls(
            counted=tuple(
                Counted(
                    query_id=row["query_id"],
                    database=row["database"] or "",
                    role=row["role"] or "",
                    calls=row["calls"],
                    ms=row["ms"],
                    rows=row["rows"],
                    read_blocks=row["read_blocks"],
                    hit_blocks=row["hit_blocks"],
                    temp_blocks=row["temp_blocks"],
                )
                for row in rows
            ),
            entries=first.get("entries", 0),
            evictions=first.get("evictions", 0),
            reset_at=first.get("reset_at") or "",
            own_role="" if first.get("shares_role", True) else statistics.role,
        )


class Load(msgspec.Struct, frozen=True):
    """What one statement did within the window. ``busy`` is how many sessions it kept busy on
    average: calls a second times seconds a call (Little's law). Blocks as in Counted."""

    query_id: str
    database: str
    role: str
    calls: int
    ms: float
    rows: int
    busy: float
    read_blocks: int = 0
    hit_blocks: int = 0
    temp_blocks: int = 0

    @property
    def mean_ms(self) -> float:
        """Milliseconds a call."""
        return self.ms / self.calls if self.calls else 0.0

    @property
    def rows_per_call(self) -> float:
        """Rows that a call returned."""
        return self.rows / self.calls if self.calls else 0.0

    @property
    def blocks_per_call(self) -> float:
        """Blocks of tables and indexes that a call touched, cached or not."""
        return (self.read_blocks + self.hit_blocks) / self.calls if self.calls else 0.0


def window_loads(statements: Looks[Statements]) -> list[Load]:
    """What ended within the window, by time, most first; our own statements left out."""
    before = {(one.database, one.query_id): one for one in statements.first.counted}
    # one that was not among the thousand then had at most the time of the last of them
    whole = len(before) >= statements.first.entries
    floor = 0.0 if whole else min((one.ms for one in before.values()), default=0.0)
    unseen = Counted(query_id="", database="", role="", calls=0, ms=floor, rows=0)
    forgotten = Counted(query_id="", database="", role="", calls=0, ms=0.0, rows=0)
    loads = []
    for now in statements.last.counted:
        then = before.get((now.database, now.query_id), unseen)
        if then.calls > now.calls:
            then = forgotten
        calls, ms = now.calls - then.calls, now.ms - then.ms
        if calls > 0 and ms > 0 and now.role != statements.last.own_role:
            busy = ms / 1000 / statements.seconds if statements.seconds else 0.0
            loads.append(
                Load(
                    now.query_id,
                    now.database,
                    now.role,
                    calls,
                    ms,
                    now.rows - then.rows,
                    busy,
                    read_blocks=now.read_blocks - then.read_blocks,
                    hit_blocks=now.hit_blocks - then.hit_blocks,
                    temp_blocks=now.temp_blocks - then.temp_blocks,
                )
            )
    return sorted(loads, key=lambda load: load.ms, reverse=True)
