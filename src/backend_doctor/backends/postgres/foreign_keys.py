"""Foreign keys of the connected database whose referencing rows no index leads to."""

from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.facts import Fact

# An index serves when its first columns are the key's, in any order: valid, not partial, a
# b-tree (403), or a hash (405) for one column, told by its operator class. A key of a
# partitioned table is served when that table has the index or each of its partitions has one;
# attribute numbers differ between partitions, so each partition's own copy of the constraint is
# asked. Nothing here waits for a lock.
_SQL = """
WITH ordered AS (SELECT oid FROM pg_opclass WHERE opcmethod = 403),
hashed AS (SELECT oid FROM pg_opclass WHERE opcmethod = 405),
bare AS MATERIALIZED (
  SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.conkey, k.conparentid
    FROM pg_constraint k
   WHERE k.contype = 'f' AND NOT EXISTS (
     SELECT FROM pg_index i
      WHERE i.indrelid = k.conrelid AND i.indkey[0] = ANY (k.conkey)
        AND i.indisvalid AND i.indisready AND i.indpred IS NULL
        AND i.indnkeyatts >= cardinality(k.conkey)
        AND (cardinality(k.conkey) = 1
             OR k.conkey <@ (i.indkey::int2[])[0:cardinality(k.conkey) - 1])
        AND CASE WHEN i.indclass[0] IN (SELECT oid FROM ordered) THEN true
            ELSE cardinality(k.conkey) = 1 AND i.indclass[0] IN (SELECT oid FROM hashed) END)),
lacking AS MATERIALIZED (
  SELECT b.*, c.relkind, c.relname, c.relnamespace, count(*) OVER () AS lacking,
         CASE WHEN c.relkind = 'p' THEN (
             SELECT coalesce(sum(greatest(p.reltuples, pg_stat_get_live_tuples(p.oid), 0)), 0)
               FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhrelid WHERE h.inhparent = c.oid)
           WHEN c.reltuples > 0 THEN c.reltuples
           ELSE coalesce(pg_stat_get_live_tuples(c.oid), 0) END::float8 AS rows
    FROM bare b JOIN pg_class c ON c.oid = b.conrelid
   WHERE b.conparentid = 0 AND c.relpersistence <> 't'
     AND (c.relkind = 'r' OR EXISTS (
       SELECT FROM bare p WHERE p.conparentid = b.oid AND p.conrelid <> b.conrelid))
   ORDER BY rows DESC, b.oid LIMIT 100)
SELECT textsend(jsonb_build_object(
         'schema', n.nspname, 'table', l.relname, 'name', l.conname, 'rows', l.rows,
         'partitioned', l.relkind = 'p',
         'columns', (SELECT jsonb_agg(a.attname ORDER BY c.place)
            FROM unnest(l.conkey) WITH ORDINALITY AS c (number, place)
            JOIN pg_attribute a ON a.attrelid = l.conrelid AND a.attnum = c.number),
         'parent_schema', pn.nspname, 'parent', p.relname,
         'parent_rows', CASE WHEN p.reltuples > 0 THEN p.reltuples
            ELSE coalesce(pg_stat_get_live_tuples(p.oid), 0) END,
         'parent_deletes', coalesce(pg_stat_get_tuples_deleted(p.oid), 0),
         'parent_updates', greatest(0, coalesce(pg_stat_get_tuples_updated(p.oid), 0)
            - coalesce(pg_stat_get_tuples_hot_updated(p.oid), 0)),
         'indexes', (SELECT coalesce(jsonb_agg(x.relname ORDER BY x.relname), '[]')
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = l.conrelid),
         'extendable', coalesce(e.relname, ''),
         'leading', coalesce((SELECT jsonb_agg(a.attname ORDER BY c.place)
            FROM unnest(e.keys) WITH ORDINALITY AS c (number, place)
            JOIN pg_attribute a ON a.attrelid = l.conrelid AND a.attnum = c.number), '[]'),
         'broken', coalesce((SELECT x.relname
             FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = l.conrelid AND NOT (i.indisvalid AND i.indisready)
              AND i.indpred IS NULL AND i.indclass[0] IN (SELECT oid FROM ordered)
              AND l.conkey <@ (i.indkey::int2[])[0:cardinality(l.conkey) - 1]
            ORDER BY x.relname LIMIT 1), ''))::text) AS detail,
       (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0) AS keys,
       l.lacking,
       (SELECT extract(epoch FROM clock_timestamp()
            - coalesce(stats_reset, pg_postmaster_start_time()))::float8
          FROM pg_stat_database WHERE datname = current_database()) AS statistics_seconds
  FROM lacking l JOIN pg_namespace n ON n.oid = l.relnamespace
  JOIN pg_class p ON p.oid = l.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
  LEFT JOIN LATERAL (
    SELECT x.relname, i.indkey::int2[] AS keys
      FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
     WHERE i.indrelid = l.conrelid AND i.indisvalid AND i.indisready AND NOT i.indisunique
       AND i.indpred IS NULL AND i.indclass[0] IN (SELECT oid FROM ordered)
       AND i.indnatts = i.indnkeyatts AND i.indnatts < cardinality(l.conkey)
       AND i.indkey::int2[] <@ l.conkey
     ORDER BY i.indnatts DESC, x.relname LIMIT 1) e ON true
 ORDER BY l.rows DESC, l.oid
"""
_LONGEST_NAME = 63


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key without an index on its own side. ``rows`` as last counted by the server.

    ``parent_deletes`` and ``parent_updates`` (those that wrote new index entries: only they can
    have changed the key) since the reset of the statistics. ``extendable`` is an index on a part
    of the columns, ``leading``; ``broken`` an invalid one that would serve; ``indexes`` are all
    names taken.
    """

    schema: str
    table: str
    name: str
    columns: tuple[str, ...]
    parent_schema: str
    parent: str
    rows: float = 0.0
    partitioned: bool = False
    parent_rows: float = 0.0
    parent_deletes: int = 0
    parent_updates: int = 0
    indexes: tuple[str, ...] = ()
    extendable: str = ""
    leading: tuple[str, ...] = ()
    broken: str = ""

    @property
    def text(self) -> str:
        """``schema.table (columns)``, for people."""
        return f"{self.schema}.{self.table} ({', '.join(self.columns)})"

    @property
    def place(self) -> str:
        """The table's quoted name."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.table)}"

    @property
    def new_columns(self) -> tuple[str, ...]:
        """The columns of a new index, those of ``extendable`` first: it then serves both."""
        return tuple(dict.fromkeys((*self.leading, *self.columns)))

    @property
    def new_index(self) -> str:
        """A name that no index of the table has, as short as the server would cut it."""
        stem = "_".join((self.table, *self.new_columns)).encode()[: _LONGEST_NAME - 8]
        names = (f"{stem.decode(errors='ignore')}_idx{number or ''}" for number in range(100))
        return next(name for name in names if name not in self.indexes)


class ForeignKeys(Fact, frozen=True):
    """The foreign keys that lack an index, those of the largest tables first, at most 100.

    ``keys`` counts all foreign keys, ``count`` those that lack one; the counters of the parents
    are ``statistics_seconds`` old at least.
    """

    keys: int = 0
    count: int = 0
    statistics_seconds: float = 0.0
    lacking: tuple[ForeignKey, ...] = ()

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run."""
        rows = await db.fetch(_SQL)
        if not rows:
            return cls()
        return cls(
            keys=rows[0]["keys"],
            count=rows[0]["lacking"],
            statistics_seconds=rows[0]["statistics_seconds"] or 0.0,
            lacking=tuple(msgspec.json.decode(row["detail"], type=ForeignKey) for row in rows),
        )
