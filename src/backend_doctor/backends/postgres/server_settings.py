"""The settings that hurt or help, extensions, and what is written but not in force."""

from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.facts import Fact

# reset_val, not setting: our own session guards itself with some of them. The server reads a file
# for each extension that it could have: not where both that we ask for are there.
_SQL = """
WITH setting AS MATERIALIZED (
  SELECT name, coalesce(reset_val, '') AS value, coalesce(unit, '') AS unit, source,
         coalesce(boot_val, '') AS boot, pending_restart FROM pg_settings)
SELECT textsend((SELECT json_agg(s)::text FROM (
          SELECT name, value, unit, source, boot FROM setting
           WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum',
                   'track_counts', 'track_activities', 'track_io_timing', 'zero_damaged_pages',
                   'idle_in_transaction_session_timeout', 'work_mem', 'hash_mem_multiplier',
                   'max_connections', 'shared_buffers', 'effective_cache_size',
                   'random_page_cost', 'log_lock_waits', 'log_min_duration_statement',
                   'log_temp_files', 'log_checkpoints', 'log_autovacuum_min_duration',
                   'max_wal_size', 'checkpoint_timeout')
              OR (name LIKE 'enable\\_%' AND value = 'off' AND boot = 'on')
         ) s)) AS settings,
       textsend((SELECT string_agg(name, ' ' ORDER BY name) FROM setting
                  WHERE pending_restart)) AS pending,
       textsend((SELECT string_agg(x.extname, ' ' ORDER BY x.extname) FROM pg_extension x))
         AS installed,
       textsend(CASE WHEN (SELECT count(*) = 2 FROM pg_extension
                            WHERE extname IN ('hypopg', 'pg_stat_statements'))
            THEN 'hypopg pg_stat_statements'
            ELSE (SELECT string_agg(x.name, ' ' ORDER BY x.name) FROM pg_available_extensions x
                   WHERE x.name IN ('hypopg', 'pg_stat_statements')) END) AS available,
       textsend(current_database()::text) AS database,
       has_table_privilege('pg_file_settings', 'SELECT')
         AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AS sees_files
"""
# A line that only waits for a restart is in error too: that it waits is known once the view has
# been read, so it is asked row by row. What a database may lack, a start does not look at.
_FILES = """
SELECT textsend(f.sourcefile) AS file, f.sourceline AS line, textsend(f.name) AS name,
       textsend(f.error) AS error
  FROM pg_file_settings f
 WHERE f.error IS NOT NULL
   AND NOT coalesce((SELECT s.pending_restart FROM pg_settings s WHERE s.name = f.name), false)
   AND coalesce(f.name, '') NOT IN ('default_text_search_config', 'default_table_access_method',
         'default_tablespace', 'temp_tablespaces')
 ORDER BY f.seqno LIMIT 20
"""
_UNITS = {"B": 1, "kB": 1024, "8kB": 8192, "16kB": 16_384, "32kB": 32_768, "MB": 1024**2} | {
    "ms": 0.001,
    "s": 1,
    "min": 60,
    "h": 3_600,
}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as a new session of ours would have it; ``boot`` is the built-in default."""

    name: str
    value: str
    unit: str = ""
    source: str = "default"
    boot: str = ""

    @property
    def amount(self) -> float:
        """Bytes or seconds, or the bare number; 0.0 where it is none."""
        try:
            return float(self.value) * _UNITS.get(self.unit, 1)
        except ValueError:
            return 0.0


class FileError(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a configuration file that the server cannot take; ``name`` is "" where it is
    not even a setting."""

    file: str
    line: int
    name: str
    error: str

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"


class ServerSettings(Fact, frozen=True):
    """Settings by name; names of those that wait for a restart; extensions of the database.

    ``available`` are those of the extensions that help a diagnosis whose files the server has.
    ``file_errors`` are the first 20, if the role ``sees_files``.
    """

    settings: tuple[Setting, ...] = ()
    pending: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()
    available: tuple[str, ...] = ()
    database: str = ""
    sees_files: bool = True
    file_errors: tuple[FileError, ...] = ()

    def find(self, name: str) -> Setting | None:
        """A setting, if the server has it."""
        return next((one for one in self.settings if one.name == name), None)

    def value(self, name: str) -> str:
        """A setting's value, or "" if the server does not have it."""
        found = self.find(name)
        return found.value if found else ""

    def amount(self, name: str) -> float:
        """A setting in bytes or seconds; 0.0 if the server does not have it."""
        found = self.find(name)
        return found.amount if found else 0.0

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run, and one more for a role that may see the files."""
        row = (await db.fetch(_SQL))[0]
        files = await db.fetch(_FILES) if row["sees_files"] else ()
        return cls(
            settings=msgspec.json.decode(row["settings"] or "[]", type=tuple[Setting, ...]),
            pending=tuple((row["pending"] or "").split()),
            installed=tuple((row["installed"] or "").split()),
            available=tuple((row["available"] or "").split()),
            database=row["database"],
            sees_files=row["sees_files"],
            file_errors=tuple(
                FileError(
                    file=one["file"] or "",
                    line=one["line"] or 0,
                    name=one["name"] or "",
                    error=one["error"],
                )
                for one in files
            ),
        )
