"""Every session of the server with what it waits for, read in one statement so that it agrees."""

import datetime
from typing import Any, Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.processes import ServerProcess, ServerProcesses
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.sql import mask_literals, quote_identifier
from backend_doctor.facts import AbsenceKind, Absent, Fact

# pg_blocking_pids only for those who wait: it locks the lock table while it looks; as text,
# since asyncpg looks an array's type up and switches jit off and on for it. A waiter for a
# row's transaction holds that row's tuple lock: it names the row for which it waits. A prepared
# transaction has no pid: the lock on its own number tells which one it is. Texts as bytes: those
# of a database in another encoding need not be UTF-8.
_SQL = """
WITH lock AS MATERIALIZED (SELECT * FROM pg_locks),
held AS (
  SELECT pid, count(*)::int AS locks FROM lock
   WHERE granted AND locktype <> 'virtualxid' GROUP BY pid),
wanted AS (
  SELECT DISTINCT ON (w.pid) w.pid, w.locktype, w.mode,
         coalesce(w.relation, t.relation) AS relation,
         coalesce(w.page, t.page) AS page, coalesce(w.tuple, t.tuple) AS tuple,
         coalesce(w.database, t.database) AS database, w.waitstart,
         w.classid, w.objid, w.objsubid
    FROM lock w
    LEFT JOIN lock t ON t.pid = w.pid AND t.granted AND t.locktype = 'tuple'
                    AND w.locktype = 'transactionid'
   WHERE NOT w.granted ORDER BY w.pid, w.waitstart),
kept AS (
  SELECT w.pid, string_agg(DISTINCT p.gid, chr(1)) AS gids
    FROM pg_prepared_xacts p
    JOIN lock x ON x.transactionid = p.transaction AND x.pid IS NULL AND x.granted
    JOIN lock l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL AND l.granted
    JOIN lock w ON NOT w.granted AND w.locktype = l.locktype
     AND (w.database, w.relation, w.page, w.tuple, w.transactionid, w.classid, w.objid, w.objsubid)
         IS NOT DISTINCT FROM
         (l.database, l.relation, l.page, l.tuple, l.transactionid, l.classid, l.objid, l.objsubid)
   GROUP BY w.pid),
alone AS (
  SELECT l.pid, string_agg(n.nspname || '.' || c.relname, chr(1)) AS tables
    FROM (SELECT pid, relation, row_number() OVER (PARTITION BY pid ORDER BY relation) AS number
            FROM lock WHERE granted AND locktype = 'relation' AND mode = 'AccessExclusiveLock'
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) l
    JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm')
    JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE l.number <= 100 GROUP BY l.pid)
SELECT a.pid, textsend(a.usename::text) AS "user", a.application_name AS application,
       host(a.client_addr) AS client, a.client_port AS port, textsend(a.datname::text) AS database,
       a.backend_type AS kind, a.state, a.wait_event_type AS wait_type, a.wait_event AS wait,
       (extract(epoch FROM clock_timestamp() - a.backend_start))::float8 AS backend_age,
       (extract(epoch FROM clock_timestamp() - a.xact_start))::float8 AS transaction_age,
       (extract(epoch FROM clock_timestamp() - a.state_change))::float8 AS state_age,
       (extract(epoch FROM a.backend_start) * 1000000)::int8 AS started_us,
       (extract(epoch FROM a.xact_start) * 1000000)::int8 AS transaction_us,
       (extract(epoch FROM a.state_change) * 1000000)::int8 AS state_us,
       a.query_id::text AS query_id, substring(textsend(a.query) FOR 600) AS query,
       a.backend_xid IS NOT NULL AS has_xid, a.backend_xmin IS NOT NULL AS has_xmin,
       a.backend_xid::text::int8 AS xid, a.backend_xmin::text::int8 AS xmin,
       coalesce(h.locks, 0) AS locks, textsend(e.tables) AS excludes,
       CASE WHEN a.wait_event_type = 'Lock'
            THEN array_to_string(pg_blocking_pids(a.pid), ' ') END AS blocked_by,
       w.locktype AS lock_type, w.mode AS lock_mode,
       textsend(coalesce(n.nspname || '.' || c.relname, 'relation ' || w.relation))
         AS lock_relation,
       w.page AS lock_page, w.tuple::int AS lock_line,
       CASE WHEN w.locktype = 'advisory'
            THEN concat_ws('/', w.classid, w.objid, w.objsubid) END AS lock_key,
       textsend(k.gids) AS lock_prepared,
       (extract(epoch FROM clock_timestamp() - w.waitstart))::float8 AS lock_seconds,
       clock_timestamp()::text AS now
  FROM pg_stat_activity a
  LEFT JOIN held h ON h.pid = a.pid
  LEFT JOIN wanted w ON w.pid = a.pid
  LEFT JOIN kept k ON k.pid = a.pid
  LEFT JOIN alone e ON e.pid = a.pid
  LEFT JOIN pg_database d ON d.datname = current_database()
  LEFT JOIN pg_class c ON c.oid = w.relation AND w.database = d.oid
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.pid <> pg_backend_pid()
   AND (a.backend_type = 'client backend' OR a.backend_xid IS NOT NULL
        OR a.backend_xmin IS NOT NULL OR a.wait_event_type = 'Lock')
 ORDER BY a.backend_start
 LIMIT 20000
"""


class LockWait(msgspec.Struct, frozen=True, kw_only=True):
    """The lock a session waits for; ``relation``, ``page`` and ``line`` where it names them.

    ``key`` of an advisory lock: classid/objid/objsubid, the last being 1 where the application
    gave one number and 2 where it gave two. ``prepared`` are the gids of prepared transactions
    that hold it. ``seconds`` of waiting, None in the first moments.
    """

    type: str
    mode: str
    relation: str | None = None
    page: int | None = None
    line: int | None = None
    key: str | None = None
    prepared: tuple[str, ...] = ()
    seconds: float | None = None

    @property
    def row(self) -> tuple[str, int, int] | None:
        """The row's table, page and line, when one row is waited for."""
        if self.relation is None or self.page is None or self.line is None:
            return None
        return (self.relation, self.page, self.line)

    @property
    def advisory(self) -> str:
        """The numbers of an advisory lock as the application gave them, else ""."""
        if self.key is None:
            return ""
        high, low, numbers = map(int, self.key.split("/"))
        if numbers == 1:
            whole = (high << 32) | low
            return str(whole - (1 << 64) if whole >> 63 else whole)
        return ", ".join(str(n - (1 << 32) if n >> 31 else n) for n in (high, low))


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One row of pg_stat_activity. Ages in seconds, ``*_us`` in microseconds since 1970.

    ``xid`` and ``xmin`` are its transaction and the oldest that its snapshot saw running.
    ``query`` has its literals masked. ``locks`` counts granted locks, virtual ones left out;
    ``excludes`` are tables of the connected database ("schema.table", a hundred at most) that it
    has locked for itself alone (ACCESS EXCLUSIVE).
    """

    pid: int
    user: str = ""
    application: str = ""
    client: str = ""
    port: int | None = None
    database: str = ""
    kind: str = ""
    state: str = ""
    wait_type: str = ""
    wait: str = ""
    backend_age: float = 0.0
    transaction_age: float | None = None
    state_age: float | None = None
    started_us: int = 0
    transaction_us: int | None = None
    state_us: int = 0
    query_id: str | None = None
    query: str = ""
    has_xid: bool = False
    has_xmin: bool = False
    xid: int | None = None
    xmin: int | None = None
    locks: int = 0
    blocked_by: tuple[int, ...] = ()
    excludes: tuple[str, ...] = ()
    lock: LockWait | None = None

    @property
    def is_client(self) -> bool:
        """Whether it takes a connection slot."""
        return self.kind == "client backend"

    @property
    def idle_in_transaction(self) -> bool:
        """Whether it holds a transaction open and does nothing, an aborted one included."""
        return self.state.startswith("idle in transaction")

    @property
    def holder(self) -> str:
        """Who it is, for people: the application's name, else user and client."""
        return self.application or f"{self.user}@{self.client or 'local'}"

    @property
    def statement(self) -> str:
        """What groups sessions that run the same statement: its id, else its masked text."""
        return self.query_id or " ".join(self.query.split())

    def same_stay(self, other: "Session") -> bool:
        """Whether the other look saw this very session in the same, uninterrupted state."""
        return (self.pid, self.started_us, self.state_us, self.state) == (
            other.pid,
            other.started_us,
            other.state_us,
            other.state,
        )

    def same_transaction(self, other: "Session") -> bool:
        """Whether the other look saw this very session in the same transaction."""
        return self.transaction_us is not None and (
            (self.pid, self.started_us, self.transaction_us)
            == (other.pid, other.started_us, other.transaction_us)
        )


def _session(row: dict[str, Any]) -> Session:
    lock = None
    if row["lock_type"]:
        lock = LockWait(
            type=row["lock_type"],
            mode=row["lock_mode"],
            relation=row["lock_relation"],
            page=row["lock_page"],
            line=row["lock_line"],
            key=row["lock_key"],
            prepared=tuple(filter(None, (row["lock_prepared"] or "").split("\1"))),
            seconds=row["lock_seconds"],
        )
    plain = {
        name: value
        for name, value in row.items()
        if value is not None and name != "now" and not name.startswith("lock_")
    }
    plain["query"] = mask_literals(plain.get("query", ""))
    plain["blocked_by"] = tuple(map(int, plain.get("blocked_by", "").split()))
    plain["excludes"] = tuple(filter(None, plain.get("excludes", "").split("\1")))
    return Session(**plain, lock=lock)


def _from_process(process: ServerProcess) -> Session:
    activity = process.activity
    waiting = activity.endswith(" waiting")
    return Session(
        pid=process.pid,
        user=process.user,
        client=process.client,
        port=process.port,
        database=process.database,
        kind="client backend",
        state=activity if activity.startswith("idle") else "active",
        wait_type="Lock" if waiting else "",
        query="" if activity.startswith("idle") else activity.removesuffix(" waiting"),
        backend_age=process.age,
        started_us=int(process.started * 1e6),
        # not a time: any work in between changes it, which is all that same_stay asks
        state_us=int(process.cpu * 1e6),
    )


class Sessions(Fact, frozen=True):
    """All client sessions but ours, and other processes that hold or await something.

    ``taken_at`` is the time on the server's machine, as SQL spells it. ``from_titles`` when
    the server refused us and its process titles were read instead: no statement, application,
    age of the state nor lock is known then.
    """

    sessions: tuple[Session, ...]
    taken_at: str = ""
    from_titles: bool = False

    @property
    def source(self) -> str:
        """Where it was read."""
        return "process titles" if self.from_titles else "pg_stat_activity"

    @property
    def clients(self) -> tuple[Session, ...]:
        """Those that take a slot."""
        return tuple(session for session in self.sessions if session.is_client)

    def by_pid(self) -> dict[int, Session]:
        """The sessions by process id."""
        return {session.pid: session for session in self.sessions}

    @classmethod
    async def collect(
        cls, db: PostgresConnection | None, slots: Slots, processes: ServerProcesses | None
    ) -> Self:
        """One statement. Raises Absent for a role that cannot see other sessions."""
        if db is None and processes is not None:
            return cls(
                sessions=tuple(map(_from_process, processes.processes)),
                taken_at=datetime.datetime.now(datetime.UTC).isoformat(" ", "milliseconds"),
                from_titles=True,
            )
        if db is None:
            raise Absent("the server has no free slot for us", kind=AbsenceKind.LOGIN)
        if not slots.sees_all:
            raise Absent(
                f"role {slots.role} cannot see what other sessions do",
                remedy=f"GRANT pg_monitor TO {quote_identifier(slots.role)};",
            )
        rows = await db.fetch(_SQL)
        taken_at = rows[0]["now"] if rows else ""
        return cls(sessions=tuple(_session(row) for row in rows), taken_at=taken_at)
