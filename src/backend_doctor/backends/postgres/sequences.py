"""Sequences of the connected database that may run out: how far they are."""

from typing import Self

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.named import Named
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.facts import Fact

# A value is read under a lock on its sequence, which lasts as long as the statement: so only the
# 200 sequences are read that rows and inserts say are furthest, none that is locked now, and
# none that counts beyond 2^53 (a million values a second last 285 years). Of more than 1,000
# the most used and those of the largest tables are considered. A column is bound to
# its sequence as owner (serial, identity) or by its default.
_SQL = """
WITH whole AS (SELECT count(*) AS number FROM pg_sequence),
chosen AS MATERIALIZED (
  SELECT seqrelid FROM pg_sequence, whole WHERE whole.number <= 1000
  UNION
  (SELECT seqrelid FROM pg_sequence, whole WHERE whole.number > 1000
    ORDER BY pg_stat_get_blocks_fetched(seqrelid) DESC, seqmax, seqrelid LIMIT 500)
  UNION
  SELECT d.objid FROM (
      SELECT c.oid FROM pg_class c, whole
       WHERE whole.number > 1000 AND c.relkind IN ('r', 'p') AND c.reltuples > 0
       ORDER BY c.reltuples DESC LIMIT 500) t
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
     AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')),
likely AS MATERIALIZED (
  SELECT s.*, o.tab, o.number,
         greatest(t.reltuples, pg_stat_get_tuples_inserted(t.oid), 0) AS filled
    FROM chosen h JOIN pg_sequence s ON s.seqrelid = h.seqrelid
    LEFT JOIN LATERAL (
      SELECT d.refobjid AS tab, d.refobjsubid AS number FROM pg_depend d
       WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
         AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
         AND d.refobjsubid > 0
      UNION ALL
      SELECT f.adrelid, f.adnum FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
       WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid
         AND d.classid = 'pg_attrdef'::regclass
       LIMIT 1) o ON true
    LEFT JOIN pg_class t ON t.oid = o.tab
   WHERE NOT s.seqcycle AND s.seqrelid >= 16384),
bound AS MATERIALIZED (
  SELECT l.*, coalesce(k.width, 8) AS width,
         CASE WHEN l.seqincrement > 0
              THEN least(l.seqmax, (2::numeric ^ (8 * coalesce(k.width, 8) - 1) - 1)::int8)
              ELSE greatest(l.seqmin, (-(2::numeric ^ (8 * coalesce(k.width, 8) - 1)))::int8)
         END AS bound
    FROM likely l LEFT JOIN LATERAL (
      SELECT CASE coalesce(nullif(t.typbasetype, 0), t.oid)
             WHEN 'int2'::regtype THEN 2 WHEN 'int4'::regtype THEN 4 ELSE 8 END AS width
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
       WHERE a.attrelid = l.tab AND a.attnum = l.number OFFSET 0) k ON true),
near AS MATERIALIZED (
  SELECT b.*, c.relname, c.relnamespace, count(*) OVER () AS candidates
    FROM bound b JOIN pg_class c ON c.oid = b.seqrelid AND c.relpersistence <> 't'
   WHERE abs(b.bound::float8) < 9007199254740992
   ORDER BY b.filled / greatest(abs(b.bound::float8), 1) DESC, abs(b.bound::float8), b.seqrelid
   LIMIT 200),
held AS MATERIALIZED (
  SELECT DISTINCT relation FROM pg_locks
   WHERE locktype = 'relation' AND mode IN (
     'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')),
judged AS MATERIALIZED (
  SELECT m.*, has_sequence_privilege(m.seqrelid, 'SELECT, USAGE') AS readable,
         EXISTS (SELECT FROM held WHERE relation = m.seqrelid) AS locked
    FROM near m)
SELECT textsend(n.nspname::text) AS schema, textsend(j.relname::text) AS name,
       textsend(coalesce(tn.nspname, '')::text) AS table_schema,
       textsend(coalesce(t.relname, '')::text) AS "table",
       textsend(coalesce(a.attname, '')::text) AS "column", coalesce(a.attidentity <> '', false)
         AS identity, j.width AS column_bytes,
       CASE j.seqtypid WHEN 'int2'::regtype THEN 2 WHEN 'int4'::regtype THEN 4 ELSE 8 END
         AS sequence_bytes,
       j.seqstart AS start, j.seqmin AS minimum, j.seqmax AS maximum, j.bound AS "limit",
       j.seqincrement AS increment,
       CASE WHEN j.readable AND NOT j.locked THEN pg_sequence_last_value(j.seqrelid) END AS last,
       j.readable, j.locked, j.candidates,
       (SELECT number FROM whole) - (SELECT count(*) FROM chosen) AS passed_over,
       textsend(current_user::text) AS role
  FROM judged j JOIN pg_namespace n ON n.oid = j.relnamespace
  LEFT JOIN pg_class t ON t.oid = j.tab LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = j.tab AND a.attnum = j.number
"""


class Sequence(Named, frozen=True, kw_only=True):
    """A sequence and the column that it feeds, if one is known.

    ``limit`` is the last value that both the sequence and the column's type can hold: the
    greatest for one that counts up, the least for one that counts down. ``last`` is None before
    the first use, and when it is not ``readable`` or is ``locked`` by another session.
    """

    table_schema: str = ""
    table: str = ""
    column: str = ""
    identity: bool = False
    column_bytes: int = 8
    sequence_bytes: int = 8
    start: int = 1
    minimum: int = 1
    maximum: int = 2**63 - 1
    limit: int = 2**63 - 1
    increment: int = 1
    last: int | None = None
    readable: bool = True
    locked: bool = False

    @property
    def left(self) -> int:
        """How many values can still be had."""
        if self.last is None:
            return self._steps(self.minimum if self.increment > 0 else self.maximum) + 1
        return self._steps(self.last)

    @property
    def used(self) -> float:
        """The share of its values that is gone, from 0 to 1."""
        all_values = self._steps(self.minimum if self.increment > 0 else self.maximum) + 1
        return 1.0 - self.left / all_values if all_values > 0 else 1.0

    def _steps(self, value: int) -> int:
        way = self.limit - value if self.increment > 0 else value - self.limit
        return max(0, way // abs(self.increment))

    @property
    def feeds(self) -> str:
        """The column, for people, or ""."""
        return f"{self.table_schema}.{self.table}.{self.column}" if self.table else ""

    @property
    def table_place(self) -> str:
        """The quoted name of the column's table."""
        return f"{quote_identifier(self.table_schema)}.{quote_identifier(self.table)}"


class Sequences(Fact, frozen=True):
    """The sequences that can run out in practice, the 200 most likely of ``candidates``.

    ``passed_over`` counts those of a very large schema that were not considered.
    """

    sequences: tuple[Sequence, ...] = ()
    candidates: int = 0
    passed_over: int = 0
    role: str = ""

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run; a role without rights sees no values."""
        rows = await db.fetch(_SQL)
        own = set(Sequence.__struct_fields__)
        return cls(
            sequences=tuple(
                Sequence(**{key: value for key, value in row.items() if key in own}) for row in rows
            ),
            candidates=rows[0]["candidates"] if rows else 0,
            passed_over=rows[0]["passed_over"] if rows else 0,
            role=rows[0]["role"] if rows else "",
        )
