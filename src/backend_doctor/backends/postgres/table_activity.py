"""The tables with most dead or changed rows, against the thresholds that hold for each."""

from typing import Any, Self

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.named import Named
from backend_doctor.facts import Fact

# From pg_class and the statistics functions: the views join every table with its indexes before
# they count. Temporary tables are nobody's but their session's; parents of partitions hold no row.
_TABLES = """
WITH server AS MATERIALIZED (
  SELECT current_setting('autovacuum')::bool
           AND current_setting('track_counts')::bool AS autovacuum,
         current_setting('autovacuum_vacuum_threshold')::int8 AS vacuum_threshold,
         current_setting('autovacuum_vacuum_scale_factor')::float8 AS vacuum_scale_factor,
         coalesce(current_setting('autovacuum_vacuum_max_threshold', true), '-1')::int8
           AS vacuum_max_threshold,
         current_setting('autovacuum_analyze_threshold')::int8 AS analyze_threshold,
         current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_scale_factor,
         current_setting('autovacuum_max_workers')::int AS max_workers,
         (SELECT count(*)::int FROM pg_stat_activity
           WHERE backend_type = 'autovacuum worker') AS workers,
         (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()))::float8 AS uptime),
touched AS MATERIALIZED (
  SELECT c.oid, c.relnamespace, c.relname, c.reltuples, c.reloptions,
         pg_stat_get_dead_tuples(c.oid) AS dead, pg_stat_get_mod_since_analyze(c.oid) AS changed
    FROM pg_class c
   WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND c.relpersistence <> 't'
   ORDER BY coalesce(pg_stat_get_dead_tuples(c.oid), 0)
            + coalesce(pg_stat_get_mod_since_analyze(c.oid), 0) DESC
   LIMIT 200),
running AS MATERIALIZED (
  SELECT relid FROM pg_stat_progress_vacuum WHERE datname = current_database())
SELECT s.*, textsend(n.nspname::text) AS schema, textsend(t.relname::text) AS name,
       t.reltuples::float8 AS tuples, coalesce(pg_stat_get_live_tuples(t.oid), 0)::int8 AS live,
       coalesce(t.dead, 0)::int8 AS dead, coalesce(t.changed, 0)::int8 AS changed,
       coalesce(pg_stat_get_ins_since_vacuum(t.oid), 0)::int8 AS inserted,
       (extract(epoch FROM clock_timestamp() - greatest(pg_stat_get_last_vacuum_time(t.oid),
         pg_stat_get_last_autovacuum_time(t.oid))))::float8 AS vacuumed,
       (extract(epoch FROM clock_timestamp() - greatest(pg_stat_get_last_analyze_time(t.oid),
         pg_stat_get_last_autoanalyze_time(t.oid))))::float8 AS analyzed,
       textsend(array_to_string(t.reloptions, chr(10))) AS options,
       EXISTS (SELECT FROM running r WHERE r.relid = t.oid) AS running
  FROM server s LEFT JOIN touched t ON true LEFT JOIN pg_namespace n ON n.oid = t.relnamespace
"""
_OFF = frozenset({"off", "false", "no", "0", "f", "n"})


class Maintained(Named, frozen=True, kw_only=True):
    """One table and when vacuum and analyze are due for it.

    ``rows`` as the server counts them (an estimate), ``dead`` likewise. ``vacuum_at`` dead rows
    and ``analyze_at`` changed rows are its own thresholds, storage parameters included.
    ``vacuumed`` and ``analyzed`` are seconds since the last one, None if never. ``autovacuum``
    tells whether the table itself allows it.
    """

    rows: int
    dead: int
    changed: int
    inserted: int = 0
    vacuum_at: int
    analyze_at: int
    vacuumed: float | None = None
    analyzed: float | None = None
    autovacuum: bool = True
    vacuum_runs: bool = False

    @property
    def dead_share(self) -> float:
        """Dead rows of all rows, 0 to 1."""
        return self.dead / (self.dead + self.rows) if self.dead else 0.0


class TableActivity(Fact, frozen=True):
    """The 200 user tables of the connected database with most dead and changed rows.

    ``autovacuum`` is the server's switch, ``workers`` of ``max_workers`` run now anywhere;
    ``uptime`` in seconds.
    """

    tables: tuple[Maintained, ...]
    autovacuum: bool = True
    workers: int = 0
    max_workers: int = 3
    uptime: float = 0.0

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run."""
        rows = await db.fetch(_TABLES)
        server = rows[0]
        return cls(
            tables=tuple(_table(row) for row in rows if row["name"] is not None),
            autovacuum=server["autovacuum"],
            workers=server["workers"],
            max_workers=server["max_workers"],
            uptime=server["uptime"],
        )


def _table(row: dict[str, Any]) -> Maintained:
    lines = (row["options"] or "").splitlines()
    own = dict(line.split("=", 1) for line in lines if "=" in line)

    def limit(what: str) -> float:
        return float(own.get(f"autovacuum_{what}", row[what]))

    # -1 before the first VACUUM or ANALYZE; autovacuum takes it for none
    tuples = max(0.0, row["tuples"])
    vacuum_at = limit("vacuum_threshold") + limit("vacuum_scale_factor") * tuples
    most = limit("vacuum_max_threshold")
    return Maintained(
        schema=row["schema"],
        name=row["name"],
        rows=row["live"],
        dead=row["dead"],
        changed=row["changed"],
        inserted=row["inserted"],
        vacuum_at=int(min(vacuum_at, most) if most >= 0 else vacuum_at),
        analyze_at=int(limit("analyze_threshold") + limit("analyze_scale_factor") * tuples),
        vacuumed=row["vacuumed"],
        analyzed=row["analyzed"],
        autovacuum=own.get("autovacuum_enabled", "on").lower() not in _OFF,
        vacuum_runs=row["running"],
    )
