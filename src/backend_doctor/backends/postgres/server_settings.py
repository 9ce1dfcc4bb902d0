"""The settings that hurt or help, extensions, and what is written but not in force."""

from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.facts import Fact

# reset_val, not setting: our own session guards itself with some of them
_SQL = """
SELECT textsend((SELECT json_agg(s)::text FROM (
          SELECT name, coalesce(reset_val, '') AS value, coalesce(unit, '') AS unit, source,
                 coalesce(boot_val, '') AS boot
            FROM pg_settings
           WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum',
                   'track_counts', 'track_activities', 'track_io_timing', 'zero_damaged_pages',
                   'idle_in_transaction_session_timeout', 'work_mem', 'hash_mem_multiplier',
                   'max_connections', 'shared_buffers', 'effective_cache_size',
                   'random_page_cost', 'log_lock_waits', 'log_min_duration_statement',
                   'log_temp_files', 'log_checkpoints', 'log_autovacuum_min_duration',
                   'max_wal_size', 'checkpoint_timeout')
              OR (name LIKE 'enable\\_%' AND reset_val = 'off' AND boot_val = 'on')
         ) s)) AS settings,
       textsend((SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings
                  WHERE pending_restart)) AS pending,
       textsend((SELECT string_agg(x.extname, ' ' ORDER BY x.extname) FROM pg_extension x))
         AS installed,
       textsend((SELECT string_agg(x.name, ' ' ORDER BY x.name) FROM pg_available_extensions x
                  WHERE x.name IN ('pg_stat_statements', 'hypopg'))) AS available,
       textsend(current_database()::text) AS database
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


class ServerSettings(Fact, frozen=True):
    """Settings by name; names of those that wait for a restart; extensions of the database.

    ``available`` are those of the extensions that help a diagnosis whose files the server has.
    """

    settings: tuple[Setting, ...] = ()
    pending: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()
    available: tuple[str, ...] = ()
    database: str = ""

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
        """One statement that any role may run."""
        row = (await db.fetch(_SQL))[0]
        return cls(
            settings=msgspec.json.decode(row["settings"] or "[]", type=tuple[Setting, ...]),
            pending=tuple((row["pending"] or "").split()),
            installed=tuple((row["installed"] or "").split()),
            available=tuple((row["available"] or "").split()),
            database=row["database"],
        )
