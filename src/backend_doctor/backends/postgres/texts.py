"""Texts of a few statements, had with one statement of ours, and only where that is cheap."""

from collections.abc import Iterable

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.statements import StatementStatistics
from backend_doctor.backends.sql import quote_identifier

# reading any text reads the server's whole file of texts: 91 MB took 1.2 s
MOST_ENTRIES = 20_000
_CHANGES = r"\y(insert|update|delete|merge|truncate|copy)\y"
_TEXTS = rf"""
SELECT DISTINCT ON (s.dbid, s.queryid) s.queryid::text AS query_id,
       textsend(d.datname::text) AS database, substring(textsend(s.query) FOR 4000) AS text
  FROM {{schema}}.pg_stat_statements(true) s JOIN pg_database d ON d.oid = s.dbid
 WHERE s.toplevel AND (s.queryid::text = ANY (string_to_array($1, ' '))
       OR s.queryid::text = ANY (string_to_array($2, ' ')) AND s.query ~* '{_CHANGES}')
 ORDER BY s.dbid, s.queryid LIMIT 500
"""
# the size is asked once, before the function that reads the file is called
_TEXTS_OF_SMALL_FILE = _TEXTS.replace(
    " WHERE s.toplevel",
    " WHERE (SELECT coalesce(max(size), 0) FROM\n"
    "        pg_stat_file('pg_stat_tmp/pgss_query_texts.stat', true)) <= 67108864\n"
    "   AND s.toplevel",
)

# by database and query id
Texts = dict[tuple[str, str], str]


async def read_texts(
    db: PostgresConnection,
    statistics: StatementStatistics,
    entries: int,
    wanted: Iterable[str],
    *,
    changing: Iterable[str] = (),
) -> tuple[Texts, str]:
    """Texts by (database, query id), cut at 4,000 bytes, literals not masked; and why there are
    none, or "".

    ``wanted`` and ``changing`` are query ids; of the latter only those whose text names a command
    that changes data. ``entries`` is how many texts the server keeps.
    """
    if entries > MOST_ENTRIES:
        return {}, f"the server keeps {entries} texts, too many to read them"
    sql = _TEXTS_OF_SMALL_FILE if statistics.may_ask_sizes else _TEXTS
    schema = quote_identifier(statistics.schema)
    rows = await db.fetch(sql.format(schema=schema), " ".join(wanted), " ".join(changing))
    found = {(row["database"], row["query_id"]): row["text"] for row in rows if row["text"]}
    return found, "" if found else "the server has lost the texts, or they take more than 64 MiB"
