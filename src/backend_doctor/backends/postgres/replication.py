"""Who follows this server, what waits for them, and what archives: read in one statement."""

from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.facts import Fact

# Names here are ASCII by the server's own rules, so JSON is safe in every encoding. A role
# without pg_read_all_stats sees that a standby is there, and nothing of it.
_SQL = """
WITH place AS (
  SELECT pg_is_in_recovery() AS in_recovery,
         CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
              ELSE pg_current_wal_lsn() END AS lsn)
SELECT p.in_recovery, current_user::text AS role,
       (SELECT json_agg(s)::text FROM (
          SELECT slot_name AS name, slot_type AS kind, active, coalesce(wal_status, '') AS status,
                 pg_wal_lsn_diff(p.lsn, restart_lsn)::int8 AS retained, safe_wal_size AS safe
            FROM pg_replication_slots WHERE NOT temporary
           ORDER BY restart_lsn LIMIT 200) s) AS slots,
       (SELECT json_agg(s)::text FROM (
          SELECT application_name AS name, coalesce(host(client_addr), 'local') AS address,
                 state, coalesce(sync_state, '') AS sync,
                 pg_wal_lsn_diff(p.lsn, replay_lsn)::int8 AS behind,
                 extract(epoch FROM replay_lag)::float8 AS seconds
            FROM pg_stat_replication
           WHERE state IS NOT NULL AND state NOT IN ('backup', 'startup')
           ORDER BY replay_lsn LIMIT 200) s) AS standbys,
       (SELECT count(*)::int FROM pg_stat_replication WHERE state IS NULL) AS hidden,
       (SELECT row_to_json(a)::text FROM (
          SELECT archived_count AS archived, failed_count AS failed,
                 coalesce(last_failed_wal, '') AS last_failed,
                 extract(epoch FROM clock_timestamp() - last_archived_time)::float8
                   AS archived_age,
                 extract(epoch FROM clock_timestamp() - last_failed_time)::float8 AS failed_age
            FROM pg_stat_archiver
           WHERE current_setting('archive_mode') <> 'off') a) AS archiver,
       pg_size_bytes(current_setting('max_slot_wal_keep_size')) AS slot_limit,
       p.in_recovery AND pg_is_wal_replay_paused() AS paused,
       extract(epoch FROM current_setting('recovery_min_apply_delay')::interval)::float8
         AS apply_delay,
       current_setting('restore_command') <> '' AS restores
  FROM place p
"""


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A replication slot. ``status`` is its wal_status; ``retained`` bytes of WAL are kept for it,
    ``safe`` more may be written before it is lost (None: without limit, or lost)."""

    name: str
    kind: str = "physical"
    active: bool = False
    status: str = "reserved"
    retained: int | None = None
    safe: int | None = None


class Standby(msgspec.Struct, frozen=True, kw_only=True):
    """Who receives WAL: ``behind`` bytes and ``seconds`` until what it has replayed.

    Seconds are None when it is idle and has everything.
    """

    name: str
    address: str = ""
    state: str = "streaming"
    sync: str = ""
    behind: int | None = None
    seconds: float | None = None


class Archiver(msgspec.Struct, frozen=True, kw_only=True):
    """pg_stat_archiver, where archiving is on; ages in seconds, None for never."""

    archived: int = 0
    failed: int = 0
    last_failed: str = ""
    archived_age: float | None = None
    failed_age: float | None = None

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        if self.failed_age is None:
            return False
        return self.archived_age is None or self.failed_age < self.archived_age


class Replication(Fact, frozen=True):
    """Slots, standbys and the archiver of a primary; what a standby says of its own replay.

    ``hidden`` standbys are there of which ``role`` may see nothing. ``slot_limit`` is
    max_slot_wal_keep_size in bytes, -1 for none. ``apply_delay`` in seconds. ``restores`` when a
    restore_command is set.
    """

    in_recovery: bool = False
    slots: tuple[Slot, ...] = ()
    standbys: tuple[Standby, ...] = ()
    hidden: int = 0
    archiver: Archiver | None = None
    slot_limit: int = -1
    paused: bool = False
    apply_delay: float = 0.0
    restores: bool = False
    role: str = ""

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run."""
        row = (await db.fetch(_SQL))[0]
        return cls(
            **{
                **row,
                "slots": msgspec.json.decode(row["slots"] or "[]", type=tuple[Slot, ...]),
                "standbys": msgspec.json.decode(row["standbys"] or "[]", type=tuple[Standby, ...]),
                "archiver": msgspec.json.decode(row["archiver"] or "null", type=Archiver | None),
            }
        )
