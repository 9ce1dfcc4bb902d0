"""Indexes of the connected database that are suspect: twins, prefixes, invalid and unread ones."""

from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.named import Named
from backend_doctor.facts import Fact

_PAGE_BYTES = 8192
# Nothing here waits for a lock: sizes are relpages. Two predicates are equal when their trees
# are, apart from where the words stood in CREATE INDEX; equal operator classes mean an equal
# method, 403 is the b-tree. An index that backs a constraint, is
# the target of a foreign key or leads to a foreign key's rows is not called unread. A build
# shows in its progress view, a DROP or REINDEX CONCURRENTLY by its lock on the index.
_SQL = """
WITH pair AS MATERIALIZED (
  SELECT a.indexrelid AS one, b.indexrelid AS other, greatest(c.relpages, d.relpages) AS pages,
         a.indnkeyatts = b.indnkeyatts AND a.indkey::text = b.indkey::text
           AND a.indclass::text = b.indclass::text AND a.indcollation::text = b.indcollation::text
           AND a.indoption::text = b.indoption::text AND trees.one = trees.other AS same
    FROM pg_index a
    JOIN pg_index b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid
     AND (b.indkey[0] = a.indkey[0]) IS TRUE
     AND a.indisvalid AND a.indisready AND b.indisvalid AND b.indisready
     AND a.indnkeyatts <= b.indnkeyatts
   CROSS JOIN LATERAL (
     SELECT regexp_replace(concat(a.indpred::text, chr(1), a.indexprs::text),
                           ':location -?[0-9]+', '', 'g') AS one,
            regexp_replace(concat(b.indpred::text, chr(1), b.indexprs::text),
                           ':location -?[0-9]+', '', 'g') AS other) trees
    JOIN pg_class c ON c.oid = a.indexrelid AND NOT c.relispartition AND c.relpersistence <> 't'
    JOIN pg_class d ON d.oid = b.indexrelid AND NOT d.relispartition
   WHERE a.indexrelid >= 16384
     AND starts_with(b.indkey::text || ' ', a.indkey::text || ' ')
     AND starts_with(b.indclass::text || ' ', a.indclass::text || ' ')
     AND starts_with(b.indcollation::text || ' ', a.indcollation::text || ' ')
     AND starts_with(b.indoption::text || ' ', a.indoption::text || ' ')),
building AS MATERIALIZED (
  SELECT relid FROM pg_stat_progress_create_index WHERE datname = current_database()),
found (what, oid, other) AS (
  (SELECT 'twin', one, least(one, min(other)) FROM pair WHERE same
    GROUP BY one ORDER BY max(pages) DESC, 3 LIMIT 200)
  UNION ALL
  (SELECT 'prefix', p.one, min(p.other) FROM pair p JOIN pg_index a ON a.indexrelid = p.one
     JOIN pg_index b ON b.indexrelid = p.other
     JOIN pg_opclass o ON o.oid = a.indclass[0] AND o.opcmethod = 403
    WHERE NOT p.same AND NOT a.indisunique AND a.indnatts = a.indnkeyatts
      AND a.indpred IS NULL AND a.indexprs IS NULL AND b.indpred IS NULL AND b.indexprs IS NULL
    GROUP BY p.one ORDER BY max(p.pages) DESC LIMIT 50)
  UNION ALL
  (SELECT CASE WHEN i.indrelid IN (SELECT relid FROM building) OR EXISTS (
            SELECT FROM pg_locks l WHERE l.relation = i.indexrelid AND l.locktype = 'relation'
               AND l.mode IN ('ShareUpdateExclusiveLock', 'AccessExclusiveLock'))
               THEN 'building' ELSE 'invalid' END, i.indexrelid, NULL
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
      AND c.relnamespace <> 'pg_toast'::regnamespace AND c.relpersistence <> 't'
    WHERE NOT (i.indisvalid AND i.indisready) ORDER BY c.relpages DESC LIMIT 100)
  UNION ALL
  (SELECT 'unread', c.oid, NULL FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relkind = 'i' AND c.relpages >= 128 AND c.oid >= 16384
      AND c.relnamespace <> 'pg_toast'::regnamespace AND c.relpersistence <> 't'
      AND i.indisvalid AND i.indisready AND NOT i.indisunique
      AND pg_stat_get_numscans(c.oid) = 0
      AND c.oid NOT IN (SELECT conindid FROM pg_constraint)
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f'
                         AND k.conrelid = i.indrelid AND i.indkey[0] = ANY (k.conkey))
    ORDER BY c.relpages DESC LIMIT 50))
SELECT f.what, f.oid::int8 AS oid, f.other::int8 AS other,
       textsend(jsonb_build_object(
         'schema', n.nspname, 'table', t.relname, 'name', c.relname, 'method', m.amname,
         'columns', (SELECT jsonb_agg(coalesce(a.attname, '') ORDER BY k.place)
            FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
            LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
           WHERE k.place <= i.indnkeyatts),
         'unique', i.indisunique, 'immediate', i.indimmediate, 'partial', i.indpred IS NOT NULL,
         'nulls_equal', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false),
         'constrained', i.indisprimary OR i.indisreplident
            OR i.indexrelid IN (SELECT conindid FROM pg_constraint),
         'partitioned', c.relkind = 'I', 'maintained', i.indisready,
         'twin', coalesce((SELECT v.relname FROM pg_index w JOIN pg_class v ON v.oid = w.indexrelid
            WHERE f.what = 'invalid' AND w.indrelid = i.indrelid AND w.indisvalid
              AND w.indexrelid <> i.indexrelid AND w.indisunique = i.indisunique
              AND w.indpred IS NULL AND i.indpred IS NULL
              AND w.indexprs IS NULL AND i.indexprs IS NULL
              AND (w.indnkeyatts, w.indkey::text, w.indclass::text, w.indcollation::text,
                   w.indoption::text) = (i.indnkeyatts, i.indkey::text, i.indclass::text,
                   i.indcollation::text, i.indoption::text)
            LIMIT 1), ''),
         'wider', coalesce((SELECT v.relname FROM pg_class v WHERE v.oid = f.other), ''),
         'pages', c.relpages + coalesce((SELECT sum(v.relpages) FROM pg_inherits h
            JOIN pg_class v ON v.oid = h.inhrelid WHERE h.inhparent = c.oid), 0),
         'scans', coalesce(pg_stat_get_numscans(c.oid), 0),
         'writes', coalesce(pg_stat_get_tuples_inserted(t.oid), 0)
            + coalesce(pg_stat_get_tuples_updated(t.oid), 0)
            + coalesce(pg_stat_get_tuples_deleted(t.oid), 0))::text) AS detail
  FROM found f JOIN pg_index i ON i.indexrelid = f.oid JOIN pg_class c ON c.oid = f.oid
  JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_am m ON m.oid = c.relam
UNION ALL
SELECT 'server', 0, 0, textsend(jsonb_build_object(
         'role', current_user, 'in_recovery', pg_is_in_recovery(),
         'replicas', (SELECT count(*) FROM pg_stat_replication),
         'database_pages', CASE WHEN EXISTS (SELECT FROM found WHERE what = 'unread')
            THEN (SELECT sum(relpages) FROM pg_class) ELSE 0 END,
         'hidden_builds', (SELECT count(*) FROM building WHERE relid IS NULL),
         'statistics_seconds', (SELECT extract(epoch FROM clock_timestamp()
              - coalesce(stats_reset, pg_postmaster_start_time()))
            FROM pg_stat_database WHERE datname = current_database()))::text)
"""


class SchemaIndex(Named, frozen=True, kw_only=True):
    """An index; a column that is an expression is "".

    ``constrained`` when a constraint, a foreign key or the replica identity needs it,
    ``immediate`` when its uniqueness is not deferred, ``nulls_equal`` for NULLS NOT DISTINCT;
    ``twin`` names a valid index that does the work of this invalid one, ``wider`` one of which
    this is the beginning. ``maintained`` when every write pays for it. ``scans`` of it and
    ``writes`` to its table since the reset.
    """

    table: str
    method: str = "btree"
    columns: tuple[str, ...] = ()
    unique: bool = False
    immediate: bool = True
    partial: bool = False
    nulls_equal: bool = False
    constrained: bool = False
    partitioned: bool = False
    maintained: bool = True
    twin: str = ""
    wider: str = ""
    pages: int = 0
    scans: int = 0
    writes: int = 0

    @property
    def bytes(self) -> int:
        """Its size when it was last vacuumed, analysed or built."""
        return self.pages * _PAGE_BYTES

    @property
    def size(self) -> str:
        """Its size, for people."""
        return f"{self.bytes / 2**20:.1f} MiB"

    @property
    def on(self) -> str:
        """The table and the columns, for people."""
        columns = ", ".join(column or "an expression" for column in self.columns)
        return f"{self.schema}.{self.table} ({columns})"


class _Server(msgspec.Struct, frozen=True):
    role: str
    in_recovery: bool
    replicas: int
    hidden_builds: int
    database_pages: int
    statistics_seconds: float


class SchemaIndexes(Fact, frozen=True):
    """What is suspect among the indexes of the connected database.

    ``twins`` are groups of indexes that are equal in all but name and uniqueness. ``building``
    are invalid ones on whose table an index is being built or dropped now; ``hidden_builds``
    counts builds of which the role cannot see the table. ``unread`` were never used in
    ``statistics_seconds``, which is a lower bound of the age of the statistics; only those
    from 1 MiB on, and none that a constraint or a foreign key needs.
    """

    role: str = ""
    in_recovery: bool = False
    replicas: int = 0
    hidden_builds: int = 0
    database_pages: int = 0
    statistics_seconds: float = 0.0
    twins: tuple[tuple[SchemaIndex, ...], ...] = ()
    prefixes: tuple[SchemaIndex, ...] = ()
    invalid: tuple[SchemaIndex, ...] = ()
    building: tuple[SchemaIndex, ...] = ()
    unread: tuple[SchemaIndex, ...] = ()

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run."""
        groups: dict[int, list[SchemaIndex]] = {}
        kinds: dict[str, list[SchemaIndex]] = {}
        server = _Server("", False, 0, 0, 0, 0.0)
        for row in await db.fetch(_SQL):
            if row["what"] == "server":
                server = msgspec.json.decode(row["detail"], type=_Server)
                continue
            index = msgspec.json.decode(row["detail"], type=SchemaIndex)
            if row["what"] == "twin":
                groups.setdefault(row["other"], []).append(index)
            else:
                kinds.setdefault(row["what"], []).append(index)
        return cls(
            **msgspec.structs.asdict(server),
            twins=tuple(tuple(group) for group in groups.values() if len(group) > 1),
            prefixes=tuple(kinds.get("prefix", ())),
            invalid=tuple(kinds.get("invalid", ())),
            building=tuple(kinds.get("building", ())),
            unread=tuple(kinds.get("unread", ())),
        )
