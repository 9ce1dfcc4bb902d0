"""A few tables as a plan sees them: size, columns, indexes and what the columns hold."""

from collections.abc import Iterable
from typing import Any

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.write_rates import price

# No function that waits behind DDL: indexes are put together from pg_index and pg_attribute. A
# table has a row for each column that ANALYZE saw, and what is said of it stands in the first.
_TABLES = """
SELECT textsend(n.nspname::text) AS schema, textsend(c.relname::text) AS name,
       c.reltuples::float8 AS tuples, c.relpages::int8 AS pages,
       coalesce(pg_stat_get_live_tuples(c.oid), 0)::int8 AS live,
       (coalesce(pg_stat_get_tuples_inserted(c.oid), 0)
        + coalesce(pg_stat_get_tuples_updated(c.oid), 0)
        + coalesce(pg_stat_get_tuples_deleted(c.oid), 0))::int8 AS writes,
       coalesce(pg_stat_get_mod_since_analyze(c.oid), 0)::int8 AS changed,
       c.relispartition AS partition,
       CASE WHEN coalesce(s.place, 1) = 1 THEN
         textsend((SELECT coalesce(jsonb_agg(jsonb_build_object(
             'name', a.attname, 'type', t.typname, 'category', t.typcategory)), '[]')
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text) END AS columns,
       CASE WHEN coalesce(s.place, 1) = 1 THEN
         textsend((SELECT coalesce(jsonb_agg(jsonb_build_object(
             'name', x.relname, 'method', m.amname, 'unique', i.indisunique, 'pages', x.relpages,
             'valid', i.indisvalid AND i.indisready, 'partial', i.indpred IS NOT NULL,
             'columns', (SELECT jsonb_agg(coalesce(a.attname, '') ORDER BY k.place)
                FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
                LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
               WHERE k.place <= i.indnkeyatts)) ORDER BY x.relname), '[]')
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            JOIN pg_am m ON m.oid = x.relam WHERE i.indrelid = c.oid)::text) END AS indexes,
       textsend((SELECT e.nspname::text FROM pg_extension h JOIN pg_namespace e
                   ON e.oid = h.extnamespace WHERE h.extname = 'hypopg')) AS hypopg,
       s."column", s.distinct_values, s.nulls, s.width, s.top_frequency, s.common, s.last, s.middle
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT row_number() OVER (ORDER BY inherited DESC) AS place,
           textsend(attname::text) AS "column", n_distinct::float8 AS distinct_values,
           null_frac::float8 AS nulls, avg_width AS width,
           most_common_freqs[1]::float8 AS top_frequency,
           textsend((most_common_vals::text::text[])[1]) AS common,
           textsend((most_common_vals::text::text[])[array_length(most_common_freqs, 1)]) AS last,
           textsend((histogram_bounds::text::text[])[
             1 + array_length(histogram_bounds::text::text[], 1) / 2]) AS middle
      FROM pg_stats WHERE schemaname = n.nspname AND tablename = c.relname) s ON true
 WHERE n.nspname || chr(1) || c.relname = ANY (string_to_array($1, chr(2)))
 ORDER BY c.oid, s.place
"""


class Column(msgspec.Struct, frozen=True):
    """A column; ``category`` is pg_type.typcategory."""

    name: str
    type: str
    category: str


class Index(msgspec.Struct, frozen=True):
    """An index; a column that is an expression is ""."""

    name: str
    method: str
    unique: bool
    pages: int
    valid: bool
    partial: bool
    columns: tuple[str, ...]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """What ANALYZE knows of a column, without any value. ``distinct_values`` below 0 is a share
    of the rows, ``width`` bytes, ``top_frequency`` the most common value's share."""

    column: str
    distinct_values: float
    nulls: float
    width: int
    top_frequency: float = 0.0


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table; ``rows`` as last counted by the server (an estimate), ``writes`` since the reset
    of its statistics, ``changed`` rows since its last ANALYZE; ``writes_per_second`` within the
    window, if that was counted."""

    schema: str
    name: str
    rows: float
    pages: int
    writes: int
    partition: bool
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    spread: tuple[Spread, ...] = ()
    changed: int = 0
    writes_per_second: float | None = None

    @property
    def index_price(self) -> str:
        """What one more index costs it, as a part of a sentence."""
        return price(self.writes_per_second, self.writes)

    def type_of(self, column: str) -> Column | None:
        """The column by its name."""
        return next((one for one in self.columns if one.name == column), None)

    def distinct(self, column: str) -> float | None:
        """How many different values the column holds, or None before the first ANALYZE."""
        for one in self.spread:
            if one.column == column:
                known = one.distinct_values
                return max(1.0, -known * self.rows if known < 0 else known)
        return None


# values by (schema, table, column): the most common one and a rare one; kept out of all facts
Samples = dict[tuple[str, str, str], tuple[str | None, str | None]]


def _places(tables: Iterable[tuple[str, str]]) -> str:
    return chr(2).join(sorted({schema + chr(1) + name for schema, name in tables}))


def _spread(row: dict[str, Any]) -> Spread:
    return Spread(
        column=row["column"],
        distinct_values=row["distinct_values"],
        nulls=row["nulls"],
        width=row["width"],
        top_frequency=row["top_frequency"] or 0.0,
    )


async def read_tables(
    db: PostgresConnection, tables: Iterable[tuple[str, str]]
) -> tuple[tuple[Table, ...], Samples, str]:
    """Tables by (schema, name), values for plans, and the schema of HypoPG or "", in one
    statement of ours."""
    rows = await db.fetch(_TABLES, _places(tables))
    spreads: dict[tuple[str, str], dict[str, Spread]] = {}
    samples: Samples = {}
    for row in rows:
        place = (row["schema"], row["name"])
        known = spreads.setdefault(place, {})
        if row["column"] is not None and row["column"] not in known:
            known[row["column"]] = _spread(row)
            common = row["middle"] if row["common"] is None else row["common"]
            rare = row["last"] if row["middle"] is None else row["middle"]
            samples[*place, row["column"]] = (common, rare)
    found = [
        _table(row, spreads[row["schema"], row["name"]])
        for row in rows
        if row["columns"] is not None
    ]
    return tuple(found), samples, rows[0]["hypopg"] or "" if rows else ""


def _table(row: dict[str, Any], spreads: dict[str, Spread]) -> Table:
    return Table(
        schema=row["schema"],
        name=row["name"],
        # n_live_tup may count a load twice until the next ANALYZE; reltuples is -1 before it
        rows=float(row["tuples"] if row["tuples"] > 0 else row["live"]),
        pages=row["pages"],
        writes=row["writes"],
        partition=row["partition"],
        changed=row["changed"],
        columns=msgspec.json.decode(row["columns"], type=tuple[Column, ...]),
        indexes=msgspec.json.decode(row["indexes"], type=tuple[Index, ...]),
        spread=tuple(spreads.values()),
    )
