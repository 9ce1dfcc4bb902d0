"""Cumulative counters of the server: they mean something as rates between two looks."""

from typing import Any, Self, TypeVar

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.facts import Fact, Looks

# the view of checkpoints was split off pg_stat_bgwriter in 17
_SQL = """
SELECT textsend(d.datname::text) AS name, d.sessions, d.xact_commit AS commits,
       d.xact_rollback AS rollbacks, d.blks_hit AS hit_blocks, d.blks_read AS read_blocks,
       d.blk_read_time AS read_ms, d.tup_returned AS rows_read,
       d.tup_inserted + d.tup_updated + d.tup_deleted AS rows_written,
       d.temp_files, d.temp_bytes, d.deadlocks, d.conflicts, d.active_time AS active_ms,
       d.idle_in_transaction_time AS idle_in_transaction_ms,
       coalesce(d.stats_reset::text, '') AS reset_at,
       c.timed AS checkpoints_timed, c.requested AS checkpoints_requested,
       c.written AS checkpoint_buffers, w.wal_bytes::int8 AS wal_bytes,
       coalesce(c.stats_reset::text, '') || ' ' || coalesce(w.stats_reset::text, '')
         AS server_reset_at,
       pg_postmaster_start_time()::text AS started_at,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS uptime,
       pg_is_in_recovery() AS in_recovery,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')::int8 AS received,
       pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::int8 AS replayed,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
         AS replayed_age,
       (SELECT count(*)::int FROM pg_stat_wal_receiver) AS receivers,
       CASE WHEN d.datname = current_database() THEN textsend((
         SELECT jsonb_agg(jsonb_build_array(t.nspname, t.relname, t.written)) FROM (
           SELECT n.nspname, c.relname, pg_stat_get_tuples_inserted(c.oid)
                    + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)
                    AS written
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND c.relpersistence <> 't'
            ORDER BY written DESC, c.oid LIMIT 500) t)::text) END AS tables
  FROM pg_stat_wal w CROSS JOIN {checkpoints} c
  LEFT JOIN pg_stat_database d ON d.datid <> 0
 ORDER BY d.sessions DESC LIMIT 10000
"""
_BEFORE_17 = _SQL.format(
    checkpoints="(SELECT checkpoints_timed AS timed, checkpoints_req AS requested,"
    " buffers_checkpoint AS written, stats_reset FROM pg_stat_bgwriter)"
)
_SINCE_17 = _SQL.format(
    checkpoints="(SELECT num_timed AS timed, num_requested AS requested,"
    " buffers_written AS written, stats_reset FROM pg_stat_checkpointer)"
)
_SERVER = ("checkpoints_timed", "checkpoints_requested", "checkpoint_buffers", "wal_bytes")


class DatabaseCounters(msgspec.Struct, frozen=True, kw_only=True):
    """One row of pg_stat_database. ``*_blocks`` of 8 kB unless built otherwise, times in ms.

    ``read_ms`` stays 0 without track_io_timing; ``active_ms`` and ``idle_in_transaction_ms``
    are added when the state ends. ``rows_read`` are those fetched or scanned.
    """

    name: str
    sessions: int = 0
    commits: int = 0
    rollbacks: int = 0
    hit_blocks: int = 0
    read_blocks: int = 0
    read_ms: float = 0.0
    rows_read: int = 0
    rows_written: int = 0
    temp_files: int = 0
    temp_bytes: int = 0
    deadlocks: int = 0
    conflicts: int = 0
    active_ms: float = 0.0
    idle_in_transaction_ms: float = 0.0
    reset_at: str = ""

    def since(self, before: "DatabaseCounters | None") -> "DatabaseCounters":
        """What was counted after ``before``; all of it for a database that is new."""
        if before is None:
            return self
        return DatabaseCounters(
            name=self.name,
            reset_at=self.reset_at,
            **{field: max(0, getattr(self, field) - getattr(before, field)) for field in _COUNTED},
        )


class TableWrites(msgspec.Struct, frozen=True, array_like=True):
    """How many ``rows`` were inserted into a table, updated and deleted."""

    schema: str
    name: str
    rows: int


S = TypeVar("S", bound=msgspec.Struct)


def _row(kind: type[S], row: dict[str, Any]) -> S:
    known = {name: row[name] for name in kind.__struct_fields__ if row[name] is not None}
    return kind(**known)


_COUNTED = [name for name in DatabaseCounters.__struct_fields__ if name not in ("name", "reset_at")]


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How far a standby is, in bytes of WAL; ``received`` is None where nothing was streamed.

    ``replayed_age``: seconds since the commit of the last transaction that was replayed.
    """

    replayed: int
    received: int | None = None
    replayed_age: float | None = None
    receivers: int = 0

    @property
    def waiting(self) -> int:
        """Bytes received and not yet replayed."""
        return max(0, (self.received or 0) - self.replayed)


class Counters(Fact, frozen=True):
    """What the server has counted since its statistics were reset.

    ``own_statements`` of ours so far are among the transactions. ``uptime`` in seconds;
    ``recovery`` is there on a standby. ``tables`` are the 500 most written ones of the connected
    database.
    """

    databases: tuple[DatabaseCounters, ...] = ()
    checkpoints_timed: int = 0
    checkpoints_requested: int = 0
    checkpoint_buffers: int = 0
    wal_bytes: int = 0
    server_reset_at: str = ""
    started_at: str = ""
    uptime: float = 0.0
    recovery: Recovery | None = None
    own_statements: int = 0
    tables: tuple[TableWrites, ...] = ()

    @property
    def sessions(self) -> int:
        """Sessions established, over all databases."""
        return sum(one.sessions for one in self.databases)

    @property
    def transactions(self) -> int:
        """Transactions ended, over all databases."""
        return sum(one.commits + one.rollbacks for one in self.databases)

    @property
    def epoch(self) -> str:
        """The server's start and the last resets."""
        reset = max((one.reset_at for one in self.databases), default="")
        return f"{self.started_at} {self.server_reset_at} {reset}"

    @classmethod
    async def collect(cls, db: PostgresConnection, slots: Slots) -> Self:
        """One statement that any role may run; needs PostgreSQL 14 for ``sessions``."""
        rows = await db.fetch(_SINCE_17 if slots.version >= 170_000 else _BEFORE_17)
        server = rows[0]
        tables = next((row["tables"] for row in rows if row["tables"]), "[]")
        return cls(
            databases=tuple(_row(DatabaseCounters, row) for row in rows if row["name"] is not None),
            **{name: server[name] for name in _SERVER},
            server_reset_at=server["server_reset_at"],
            started_at=server["started_at"],
            uptime=server["uptime"],
            recovery=_row(Recovery, server) if server["in_recovery"] else None,
            own_statements=db.statements,
            tables=msgspec.json.decode(tables, type=tuple[TableWrites, ...]),
        )


class WindowCounts(msgspec.Struct, frozen=True):
    """What was counted within the window of ``seconds``: each database, and all together."""

    seconds: float
    databases: tuple[DatabaseCounters, ...]
    all: DatabaseCounters
    checkpoints_timed: int
    checkpoints_requested: int
    checkpoint_buffers: int
    wal_bytes: int


def counts_within(counters: Looks[Counters]) -> WindowCounts:
    """The differences between the two looks."""
    first, last = counters.first, counters.last
    before = {one.name: one for one in first.databases}
    databases = tuple(one.since(before.get(one.name)) for one in last.databases)
    together = {name: sum(getattr(one, name) for one in databases) for name in _COUNTED}
    return WindowCounts(
        seconds=counters.seconds,
        databases=databases,
        all=DatabaseCounters(name="", **together),
        **{name: max(0, getattr(last, name) - getattr(first, name)) for name in _SERVER},
    )
