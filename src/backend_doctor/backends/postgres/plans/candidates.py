"""Which statements are worth a plan, and their texts: those of the window, and those that run."""

import re
from collections.abc import Iterable
from typing import Any

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.plans.case import Case
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.statements import Load, StatementStatistics
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.facts import Looks

_TEXTS = """
SELECT DISTINCT ON (s.dbid, s.queryid) s.queryid::text AS query_id,
       textsend(d.datname::text) AS database, textsend(pg_get_userbyid(s.userid)::text) AS role,
       substring(textsend(s.query) FOR 20001) AS text,
       textsend(coalesce(
         (SELECT substr(item, 13) FROM pg_db_role_setting g, unnest(g.setconfig) AS item
           WHERE item LIKE 'search_path=%' AND g.setdatabase IN (0, s.dbid)
             AND g.setrole IN (0, s.userid)
           ORDER BY g.setrole <> 0 DESC, g.setdatabase <> 0 DESC LIMIT 1),
         (SELECT reset_val FROM pg_settings WHERE name = 'search_path'))) AS search_path
  FROM {schema}.pg_stat_statements(true) s JOIN pg_database d ON d.oid = s.dbid
 WHERE s.toplevel AND s.queryid::text = ANY (string_to_array($1, ' '))
 ORDER BY s.dbid, s.queryid, s.total_exec_time DESC
"""
# the size is asked once, before the function that reads the file is called
_TEXTS_OF_SMALL_FILE = _TEXTS.replace(
    " WHERE s.toplevel",
    " WHERE (SELECT coalesce(max(size), 0) FROM\n"
    "        pg_stat_file('pg_stat_tmp/pgss_query_texts.stat', true)) <= 67108864\n"
    "   AND s.toplevel",
)
# a text is cut at this many bytes less one, and then by up to three more at a character's edge
_RUNNING = """
SELECT a.pid, (extract(epoch FROM a.state_change) * 1000000)::int8 AS state_us,
       textsend(a.usename::text) AS role, substring(textsend(a.query) FOR 20001) AS text,
       octet_length(a.query) >= s.bytes - 4 AS cut,
       textsend(coalesce(
         (SELECT substr(item, 13) FROM pg_db_role_setting g, unnest(g.setconfig) AS item
           WHERE item LIKE 'search_path=%' AND g.setdatabase IN (0, a.datid)
             AND g.setrole IN (0, a.usesysid)
           ORDER BY g.setrole <> 0 DESC, g.setdatabase <> 0 DESC LIMIT 1),
         (SELECT reset_val FROM pg_settings WHERE name = 'search_path'))) AS search_path
  FROM pg_stat_activity a
  CROSS JOIN (SELECT setting::int * CASE unit WHEN 'kB' THEN 1024 ELSE 1 END AS bytes
                FROM pg_settings WHERE name = 'track_activity_query_size') s
 WHERE a.pid::text = ANY (string_to_array($1, ' ')) AND a.state = 'active'
"""
# reading any text reads the server's whole file of texts: 91 MB took 1.2 s
MOST_ENTRIES = 20_000
# statements below this many busy sessions cannot be what is slow
LEAST_BUSY = 0.02
LEAST_SECONDS = 3.0
MOST_TEXTS = 6


def schemas_in(search_path: str, role: str) -> tuple[str, ...]:
    """The names in a search_path, ``$user`` being the role."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', search_path)
    names = (quoted.replace('""', '"') or bare.lower() for quoted, bare in found)
    return tuple(role if name == "$user" else name for name in names)


def _running(sessions: Looks[Sessions]) -> dict[tuple[str, str], list[Session]]:
    """What runs through both looks, by database and statement; waits for locks left out."""
    before = sessions.first.by_pid()
    found: dict[tuple[str, str], list[Session]] = {}
    for session in sessions.last.clients:
        then = before.get(session.pid)
        busy = session.state == "active" and session.wait_type != "Lock"
        long = (session.state_age or 0.0) >= LEAST_SECONDS
        if busy and long and then is not None and session.same_stay(then):
            found.setdefault((session.database, session.statement), []).append(session)
    return found


def cases_of(loads: Iterable[Load], sessions: Looks[Sessions]) -> list[Case]:
    """The statements that keep sessions busy, most first."""
    cases = {
        (load.database, load.query_id): Case(
            query_id=load.query_id,
            database=load.database,
            role=load.role,
            busy=load.busy,
            rows=load.rows_per_call,
            blocks=load.blocks_per_call,
            mean_ms=load.mean_ms,
        )
        for load in loads
        if load.busy >= LEAST_BUSY
    }
    for key, running in _running(sessions).items():
        case = cases.setdefault(key, Case(key[1], key[0], running[0].user))
        case.pids = tuple(session.pid for session in running)
        case.seconds = max(session.state_age or 0.0 for session in running)
        case.mean_ms = max(case.mean_ms or 0.0, case.seconds * 1000)
        case.busy += len(running)
    return sorted(cases.values(), key=lambda case: case.busy, reverse=True)[:MOST_TEXTS]


async def fetch_texts(
    db: PostgresConnection,
    statistics: StatementStatistics,
    cases: list[Case],
    sessions: Looks[Sessions],
    entries: int,
) -> None:
    """Gives the cases their texts, or the reason why they have none."""
    for case in cases:
        if case.database != statistics.database:
            case.refusal = (
                f"it runs in database {case.database}, and a plan can be had only in the "
                f"connected one, {statistics.database}"
            )
    # a running text has its literals, so that its plan is the one that runs
    running = [case for case in cases if case.pids and not case.refusal]
    if running:
        await _fetch_running(db, running, sessions)
    counted = [case for case in cases if not case.pids]
    if counted:
        await _fetch_counted(db, statistics, counted, entries)


async def _fetch_running(
    db: PostgresConnection, cases: list[Case], sessions: Looks[Sessions]
) -> None:
    seen = sessions.last.by_pid()
    rows = await db.fetch(_RUNNING, " ".join(str(case.pids[0]) for case in cases))
    found = {row["pid"]: row for row in rows}
    for case in cases:
        row = found.get(case.pids[0])
        if row is None or row["state_us"] != seen[case.pids[0]].state_us or not row["text"]:
            case.refusal = "it ended before its plan was asked for"
        elif row["cut"]:
            case.refusal = "its text is longer than track_activity_query_size keeps of it"
        else:
            _read(case, row)


async def _fetch_counted(
    db: PostgresConnection, statistics: StatementStatistics, cases: list[Case], entries: int
) -> None:
    if entries > MOST_ENTRIES:
        for case in cases:
            case.refusal = case.refusal or (
                f"the server keeps {entries} texts, too many to read them"
            )
        return
    sql = _TEXTS_OF_SMALL_FILE if statistics.may_ask_sizes else _TEXTS
    schema = quote_identifier(statistics.schema)
    rows = await db.fetch(sql.format(schema=schema), " ".join(one.query_id for one in cases))
    found = {(row["database"], row["query_id"]): row for row in rows}
    for case in cases:
        row, elsewhere = found.get((case.database, case.query_id)), case.refusal
        if row is None or not row["text"]:
            case.refusal = "the server has lost its text, or its texts take more than 64 MiB"
        else:
            _read(case, row)
        case.refusal = case.refusal or elsewhere


def _read(case: Case, row: dict[str, Any]) -> None:
    case.refusal = ""
    case.read(row["text"], schemas_in(row["search_path"] or "", row["role"] or ""))
