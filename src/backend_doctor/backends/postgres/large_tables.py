"""The largest tables: how many rows their files would hold, by estimate, and how many they do."""

import math
from collections.abc import Sequence
from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.named import Named
from backend_doctor.facts import Fact

# Pages and rows are of the same moment: VACUUM and ANALYZE write both. pg_stats is asked table by
# table, as its rights are checked for each row; it hides what the role may not read. A dropped
# column still fills its place in old rows. Only heaps (access method 2) have the layout counted
# with below.
_SQL = """
WITH largest AS MATERIALIZED (
  SELECT c.oid, c.relname, c.relpages, c.reltuples, c.reloptions, n.nspname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'm') AND c.relam = 2 AND c.oid >= 16384 AND c.relpersistence <> 't'
     AND c.relpages >= 1280
   ORDER BY c.relpages DESC, c.oid LIMIT 50)
SELECT textsend(jsonb_build_object(
         'schema', l.nspname, 'name', l.relname, 'pages', l.relpages, 'rows', l.reltuples,
         'fillfactor', coalesce((SELECT split_part(o, '=', 2)::int FROM unnest(l.reloptions) o
            WHERE o LIKE 'fillfactor=%'), 100),
         'dead', coalesce(pg_stat_get_dead_tuples(l.oid), 0),
         'changed', coalesce(pg_stat_get_mod_since_analyze(l.oid), 0),
         'inserted', coalesce(pg_stat_get_tuples_inserted(l.oid), 0),
         'deleted', coalesce(pg_stat_get_tuples_deleted(l.oid), 0),
         'analyzed', extract(epoch FROM clock_timestamp() - greatest(
            pg_stat_get_last_analyze_time(l.oid), pg_stat_get_last_autoanalyze_time(l.oid))),
         'readable', coalesce(has_table_privilege(l.oid, 'SELECT'), false)
            AND NOT row_security_active(l.oid)
       )::text) AS detail,
       (SELECT jsonb_agg(jsonb_build_array(
            coalesce(s.width, nullif(a.attlen, -1)), a.attlen > 0, a.attalign) ORDER BY a.attnum)
          FROM pg_attribute a
          LEFT JOIN (SELECT attname, avg_width * (1 - null_frac) AS width FROM pg_stats
                      WHERE schemaname = l.nspname AND tablename = l.relname AND NOT inherited) s
            ON s.attname = a.attname
         WHERE a.attrelid = l.oid AND a.attnum > 0)::text AS columns,
       textsend(current_user::text) AS role
  FROM largest l ORDER BY l.relpages DESC, l.oid
"""
_PAGE_BYTES, _PAGE_HEADER, _ROW_HEADER, _LINE_POINTER = 8192, 24, 23, 4
_ALIGNMENT = {"c": 1, "s": 2, "i": 4, "d": 8}

Column = tuple[float | None, bool, str]
"""Its average bytes in a row, if known; whether all values are as long; pg_attribute.attalign."""


def row_bytes(columns: Sequence[Column]) -> float | None:
    """Bytes that a row takes of a page, by average; None when a column's width is not known.

    The map of NULLs is always counted, so that the estimate is rather too large.
    """
    end = 0.0
    for width, fixed, alignment in columns:
        if width is None:
            return None
        end = _aligned(end, _ALIGNMENT[alignment] if fixed else 1) + width
    header = _aligned(_ROW_HEADER + math.ceil(len(columns) / 8), 8)
    return _aligned(header + end, 8) + _LINE_POINTER


def _aligned(count: float, to: int) -> float:
    return math.ceil(count / to) * to if to > 1 else count


class LargeTable(Named, frozen=True, kw_only=True):
    """A table of 10 MiB or more. ``pages`` and ``rows`` as its last VACUUM or ANALYZE found them.

    ``rows`` is -1 before that; ``row_bytes`` is an average by estimate, None when not known.
    ``dead`` rows and those ``changed`` since the last ANALYZE, which was ``analyzed`` seconds ago;
    ``inserted`` and ``deleted`` since the reset of the statistics. ``readable`` when the role may
    see what ANALYZE knows of it.
    """

    pages: int
    rows: float
    row_bytes: float | None = None
    fillfactor: int = 100
    dead: int = 0
    changed: int = 0
    inserted: int = 0
    deleted: int = 0
    analyzed: float | None = None
    readable: bool = True

    @property
    def bytes(self) -> int:
        """The size of its file, without indexes and TOAST."""
        return self.pages * _PAGE_BYTES

    @property
    def capacity(self) -> float:
        """Rows that its file would hold, filled as its fillfactor allows; 0.0 if not known.

        A page holds whole rows only, and at least one.
        """
        if not self.row_bytes:
            return 0.0
        room = (_PAGE_BYTES - _PAGE_HEADER) * self.fillfactor / 100
        return float(self.pages * max(1, int(room / self.row_bytes)))

    @property
    def unused(self) -> float:
        """The part of its file that holds no row, 0 to 1, by estimate; 0.0 if not known."""
        return max(0.0, 1 - self.rows / self.capacity) if self.capacity and self.rows >= 0 else 0.0


class LargeTables(Fact, frozen=True):
    """The 50 largest user tables of the connected database from 10 MiB on; our own ``role``."""

    tables: tuple[LargeTable, ...] = ()
    role: str = ""

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run; it shows widths of tables that the role may read."""
        rows = await db.fetch(_SQL)
        tables = (
            msgspec.structs.replace(
                msgspec.json.decode(row["detail"], type=LargeTable),
                row_bytes=row_bytes(msgspec.json.decode(row["columns"], type=tuple[Column, ...])),
            )
            for row in rows
        )
        return cls(tables=tuple(tables), role=rows[0]["role"] if rows else "")
