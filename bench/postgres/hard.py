"""What we cost a server that is large, full or locked, and whether we say what ails it.

Each case is a PostgreSQL 15 of its own, examined by the role that `grants` prints.
"""

import asyncio
import re
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

import asyncpg
from bench.measure import Usage, peak_mib, run
from bench.postgres.cost import Books, Cost, ask
from bench.postgres.faults import first_cause
from bench.postgres.tools import DOCTOR, doctor
from tests.conftest import POSTGRES

from backend_doctor.demo.servers import PostgresServer

SETTINGS: dict[str, str | int] = {
    "max_connections": 30,
    "shared_preload_libraries": "pg_stat_statements",
    # else it may write on its own between two readings of the write-ahead log
    "autovacuum": "off",
    "log_connections": "on",
    "log_line_prefix": "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
}
ROLE = "doctor"
TABLES, TEXT_BYTES, LIST = 15_000, 91_000_000, 8_000
# a queue for a lock is worth a warning after 3 s
QUEUE_SECONDS = 4.0
_TEXTS = "SELECT size FROM pg_stat_file('pg_stat_tmp/pgss_query_texts.stat')"
_WAITING = (
    f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}' AND wait_event_type = 'Lock'"
)
_WRITTEN = "SELECT pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot())"
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect: TypeAlias = "Callable[..., Awaitable[Session]]"


async def _many_tables(admin: Session, _: Connect) -> None:
    await admin.execute(
        "CREATE PROCEDURE fill(most int) LANGUAGE plpgsql AS $$ BEGIN FOR n IN 1..most LOOP "
        "EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, other int)', n); "
        "EXECUTE format('CREATE INDEX ON t%s (other)', n); "
        "IF n % 200 = 0 THEN COMMIT; END IF; END LOOP; END $$"
    )
    await admin.execute(f"CALL fill({TABLES})", timeout=600)


async def _long_texts(admin: Session, _: Connect) -> None:
    number = LIST
    while await admin.fetchval(_TEXTS) < TEXT_BYTES:
        number += 1
        # each length is a statement of its own to pg_stat_statements
        await admin.execute(f"SELECT 1 WHERE 1 IN ({','.join('1' * number)})")


async def _full(_: Session, connect: Connect) -> None:
    for _number in range(26):  # and the administrator
        await (await connect("app")).execute("SELECT 1")


async def _waiting_alter(admin: Session, connect: Connect) -> None:
    await admin.execute("CREATE TABLE orders (id int)")
    report, migration = await connect("app"), await connect("postgres")
    await report.execute("BEGIN")
    await report.execute("SELECT * FROM orders")
    _start(migration.execute("ALTER TABLE orders ADD COLUMN note text", timeout=600))
    await asyncio.sleep(0.3)
    for _number in range(3):
        _start((await connect("app")).execute("SELECT * FROM orders", timeout=600))
    await asyncio.sleep(QUEUE_SECONDS)


async def _locked_table(admin: Session, connect: Connect) -> None:
    await admin.execute("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 400000) n")
    await admin.execute("ALTER TABLE orders OWNER TO app")
    await admin.execute("ANALYZE orders")
    _start(_read_under_lock(await connect("app")))
    await asyncio.sleep(1)


async def _read_under_lock(session: Session) -> None:
    """What is slow cannot be planned by others: its table is locked by who runs it."""
    await session.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    while True:
        await session.fetch("SELECT sum(a.id % 7) FROM orders a, orders b WHERE a.id = b.id")


_tasks: set["asyncio.Task[object]"] = set()


def _start(work: Coroutine[object, object, object]) -> None:
    task = asyncio.ensure_future(work)
    _tasks.add(task)  # else it may be collected before it ends
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


@dataclass(frozen=True)
class Case:
    """``must_say`` is what the report must name, if anything; ``window`` is in seconds. On a
    ``quiet`` server nobody else writes, so that we must leave it as it was; with ``locks`` our
    waits are sampled, which costs a core."""

    name: str
    make: Callable[[Session, Connect], Awaitable[None]]
    must_say: str = ""
    window: float = 0
    quiet: bool = False
    locks: bool = False


HEALTHY = Case(
    "healthy and small, two looks", lambda _admin, _connect: asyncio.sleep(0), window=1, quiet=True
)
LARGE = Case(f"{TABLES:,} tables", _many_tables)
LOCKED = Case(
    "behind an exclusive lock, two looks",
    _locked_table,
    "locked by another session",
    window=5,
    locks=True,
)
CASES = (
    HEALTHY,
    LARGE,
    Case(f"{TEXT_BYTES / 1e6:.0f} MB of statement texts", _long_texts),
    Case("all connections taken", _full, r"pool\.server_full"),
    Case("an ALTER TABLE that waits", _waiting_alter, r"lock\.ddl_queue", locks=True),
    LOCKED,
)


@dataclass(frozen=True)
class Look:
    """``waited`` is our longest wait for a lock in milliseconds; ``wrote`` whether the server's
    write-ahead log or its count of transactions moved."""

    usage: Usage
    cost: Cost
    waited: float
    wrote: bool


@dataclass(frozen=True)
class Figures:
    """All looks at one case; ``peak_mib`` is of one more."""

    case: Case
    looks: list[Look]
    peak_mib: float

    @property
    def wall(self) -> float:
        """The median, in seconds."""
        return median(look.usage.wall for look in self.looks)

    @property
    def waited(self) -> float:
        """The longest wait for a lock, in milliseconds."""
        return max(look.waited for look in self.looks)

    @property
    def statements(self) -> int:
        """The most statements."""
        return max(look.cost.statements for look in self.looks)

    @property
    def said(self) -> bool:
        """Whether every report named what it must."""
        return all(
            re.search(self.case.must_say, " ".join(look.usage.output.split()))
            for look in self.looks
        )

    @property
    def first(self) -> str:
        """What the first report ranked first."""
        return first_cause(self.looks[0].usage.output) or "-"


def _grants() -> str:
    return subprocess.run(
        [DOCTOR, "grants", "postgres", "--role", ROLE], check=True, capture_output=True, text=True
    ).stdout


class _Watch(threading.Thread):
    """Samples how long our session waits for a lock, in milliseconds."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url, self.over, self.waited = url, threading.Event(), 0.0

    def run(self) -> None:
        asyncio.run(self._sample())

    async def _sample(self) -> None:
        eyes = await asyncpg.connect(self._url)
        since: float | None = None
        while not self.over.is_set():
            waiting, now = await eyes.fetchval(_WAITING), time.monotonic()
            since = (since or now) if waiting else None
            self.waited = max(self.waited, (now - (since or now)) * 1000)
            await asyncio.sleep(0.005)
        await eyes.close()


def _look(server: PostgresServer, case: Case) -> Look:
    watch, books = _Watch(server.admin_url()), Books(server, ROLE)
    if case.locks:
        watch.start()
    before = ask(server, _WRITTEN)
    usage = run(doctor(server.url(ROLE), case.window))
    wrote = ask(server, _WRITTEN) != before
    if case.locks:
        watch.over.set()
        watch.join()
    return Look(usage, books.cost(), watch.waited, wrote)


async def _examine(case: Case, rounds: int) -> Figures:
    with PostgresServer(POSTGRES[15](), settings=SETTINGS) as server:
        async with AsyncExitStack() as sessions:

            async def connect(user: str = "postgres") -> Session:
                session = await asyncpg.connect(server.url(user))
                sessions.callback(session.terminate)
                return session

            admin = await connect()
            await admin.execute("CREATE EXTENSION pg_stat_statements")
            await admin.execute("CREATE ROLE app LOGIN IN ROLE pg_read_all_data")
            await admin.execute(_grants())
            await admin.execute(f"ALTER ROLE {ROLE} SET log_min_duration_statement = 0")
            await case.make(admin, connect)
            if case.quiet:
                # what was written is cleaned and on disk: no reader has to do it
                await admin.execute("VACUUM FREEZE")
                await admin.execute("CHECKPOINT")
            looks = [await asyncio.to_thread(_look, server, case) for _ in range(rounds)]
            weighed = await asyncio.to_thread(peak_mib, doctor(server.url(ROLE), case.window))
            return Figures(case, looks, weighed)


def examine_all(rounds: int) -> Iterator[Figures]:
    """Each case in turn."""
    for case in CASES:
        yield asyncio.run(_examine(case, rounds))
