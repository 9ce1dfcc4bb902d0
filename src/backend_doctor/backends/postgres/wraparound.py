"""How old the oldest transaction and multixact ids are, and what keeps vacuum from freezing."""

from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.facts import Fact

# TOAST tables are frozen with the table that they belong to, whose name is shown
_SQL = """
WITH tab AS MATERIALIZED (
  SELECT oid, age(relfrozenxid) AS xids, mxid_age(relminmxid) AS multixacts
    FROM pg_class
   WHERE relkind IN ('r', 'm', 't') AND relfrozenxid <> '0' AND relminmxid <> '0'
     AND relpersistence <> 't'),
worst AS MATERIALIZED (
  (SELECT * FROM tab ORDER BY xids DESC, oid LIMIT 5)
  UNION (SELECT * FROM tab ORDER BY multixacts DESC, oid LIMIT 5)),
holder (kind, name, xids) AS (
  SELECT 'session', a.pid || ' (' || coalesce(nullif(a.application_name, ''), a.backend_type)
         || ')', greatest(age(a.backend_xid), age(a.backend_xmin))
    FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid()
  UNION ALL
  SELECT 'replication slot', s.slot_name, greatest(age(s.xmin), age(s.catalog_xmin))
    FROM pg_replication_slots s
  UNION ALL
  SELECT 'prepared transaction', p.gid, age(p.transaction) FROM pg_prepared_xacts p)
SELECT 'database' AS what, ''::bytea AS schema, textsend(d.datname::text) AS name,
       age(d.datfrozenxid)::int8 AS xids, mxid_age(d.datminmxid)::int8 AS multixacts,
       0::int8 AS pages
  FROM (SELECT * FROM pg_database
         ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC, oid LIMIT 20) d
UNION ALL
SELECT 'table', textsend(n.nspname::text), textsend(o.relname::text),
       w.xids::int8, w.multixacts::int8, c.relpages::int8
  FROM worst w JOIN pg_class c ON c.oid = w.oid
  LEFT JOIN pg_depend d ON c.relkind = 't' AND d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.deptype = 'i'
  JOIN pg_class o ON o.oid = coalesce(d.refobjid, c.oid)
  JOIN pg_namespace n ON n.oid = o.relnamespace
UNION ALL
SELECT 'holder', textsend(h.kind), textsend(h.name), h.xids::int8, 0, 0
  FROM (SELECT * FROM holder WHERE xids IS NOT NULL ORDER BY xids DESC, name LIMIT 3) h
UNION ALL
SELECT 'setting', ''::bytea, textsend(s.name), s.number, 0, 0
  FROM (VALUES
    ('freeze_max_age', current_setting('autovacuum_freeze_max_age')::int8),
    ('multixact_freeze_max_age', current_setting('autovacuum_multixact_freeze_max_age')::int8),
    ('autovacuum', current_setting('autovacuum')::bool::int::int8),
    ('sees_all', pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')::int::int8)
  ) AS s (name, number)
"""


class Aged(msgspec.Struct, frozen=True, kw_only=True):
    """A database (``schema`` is "") or a table with the ages of its oldest ids."""

    name: str
    schema: str = ""
    xids: int = 0
    multixacts: int = 0
    pages: int = 0

    @property
    def text(self) -> str:
        """Its name, for people."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps rows of ``xids`` transactions ago visible, so that vacuum cannot freeze them."""

    kind: str
    name: str
    xids: int


class Wraparound(Fact, frozen=True):
    """Ages of all databases and of the worst tables of the connected one.

    ``freeze_max_age`` and ``multixact_freeze_max_age`` are the ages at which autovacuum freezes
    by force. ``holders`` are the three oldest; those of other sessions show only if ``sees_all``.
    """

    databases: tuple[Aged, ...]
    tables: tuple[Aged, ...] = ()
    holders: tuple[Holder, ...] = ()
    freeze_max_age: int = 200_000_000
    multixact_freeze_max_age: int = 400_000_000
    autovacuum: bool = True
    sees_all: bool = True

    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        """One statement that any role may run."""
        rows = await db.fetch(_SQL)
        settings = {row["name"]: row["xids"] for row in rows if row["what"] == "setting"}

        def aged(what: str) -> tuple[Aged, ...]:
            return tuple(
                Aged(**{name: row[name] for name in Aged.__struct_fields__})
                for row in rows
                if row["what"] == what
            )

        return cls(
            databases=aged("database"),
            tables=tuple(sorted(aged("table"), key=lambda one: (-one.xids, one.text))),
            holders=tuple(
                Holder(kind=row["schema"], name=row["name"], xids=row["xids"])
                for row in rows
                if row["what"] == "holder"
            ),
            freeze_max_age=settings["freeze_max_age"],
            multixact_freeze_max_age=settings["multixact_freeze_max_age"],
            autovacuum=bool(settings["autovacuum"]),
            sees_all=bool(settings["sees_all"]),
        )
