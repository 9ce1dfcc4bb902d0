"""python -m bench.postgres.hard: what we cost a server that is large, full or locked; a table.

Each case is a PostgreSQL 15 of its own, examined with --window 0 by the role that `grants` prints.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeAlias

import asyncpg
from bench.measure import Command, Usage, run
from tests.conftest import POSTGRES

from backend_doctor.demo.servers import PostgresServer

DOCTOR = str(Path(sys.executable).with_name("backend-doctor"))
SETTINGS: dict[str, str | int] = {
    "max_connections": 30,
    "shared_preload_libraries": "pg_stat_statements",
    "log_connections": "on",
    "log_line_prefix": "%m [%p] <%u> ",
}
TABLES, TEXTS, LIST = 15_000, 1_600, 8_000
_OURS = re.compile(r"<doctor> LOG:  duration: ([\d.]+) ms  (?:statement|execute)")
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'doctor' AND wait_event_type = 'Lock'"
)
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
    for number in range(TEXTS):
        values = ",".join("1" for _ in range(LIST + number))
        await admin.execute(f"SELECT 1 WHERE 1 IN ({values})")


async def _full(_: Session, connect: Connect) -> None:
    for _number in range(26):  # and the administrator
        await (await connect("app")).execute("SELECT 1")


async def _waiting_alter(admin: Session, connect: Connect) -> None:
    await admin.execute("CREATE TABLE orders (id int)")
    await admin.execute("INSERT INTO orders VALUES (1)")
    report, migration = await connect("app"), await connect("postgres")
    await report.execute("BEGIN")
    await report.fetch("SELECT * FROM orders")
    _start(migration, "ALTER TABLE orders ADD COLUMN note text")
    await asyncio.sleep(0.3)
    for _number in range(3):
        _start(await connect("app"), "SELECT * FROM orders")
    await asyncio.sleep(0.5)


_tasks: set["asyncio.Task[str]"] = set()


def _start(session: Session, statement: str) -> None:
    task = asyncio.ensure_future(session.execute(statement, timeout=600))
    _tasks.add(task)  # else it may be collected before it ends
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


CASES: dict[str, Callable[[Session, Connect], Awaitable[None]]] = {
    "healthy and small": lambda _admin, _connect: asyncio.sleep(0),
    f"{TABLES:,} tables": _many_tables,
    "a file of long texts": _long_texts,
    "all connections taken": _full,
    "an ALTER TABLE that waits": _waiting_alter,
}


@dataclass(frozen=True)
class Figures:
    """``longest`` is our longest statement in the server, ``waited`` our longest lock wait."""

    usage: Usage
    statements: int
    longest: float
    waited: float


def _grants() -> str:
    return subprocess.run(
        [DOCTOR, "grants", "postgres", "--role", "doctor"],
        check=True,
        capture_output=True,
        text=True,
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


def _examine(server: PostgresServer) -> Figures:
    watch = _Watch(server.admin_url())
    watch.start()
    before = len(server.log())
    words = [DOCTOR, "check", "env:DATABASE_URL", "--window", "0"]
    usage = run(Command(words, {"DATABASE_URL": server.url("doctor", database="postgres")}))
    watch.over.set()
    watch.join()
    spent = [float(found[1]) for found in _OURS.finditer(server.log()[before:])]
    return Figures(usage, len(spent), max(spent, default=0.0), watch.waited)


async def _case(make: Callable[[Session, Connect], Awaitable[None]], rounds: int) -> list[Figures]:
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
            await admin.execute("ALTER ROLE doctor SET log_min_duration_statement = 0")
            await make(admin, connect)
            return [await asyncio.to_thread(_examine, server) for _ in range(rounds)]


def main() -> None:
    """Prints a line for each case."""
    parser = argparse.ArgumentParser(prog="bench.postgres.hard")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(
        f"{'':28}{'wall s':>8}{'MiB':>6}{'stmts':>6}{'longest ms':>12}{'lock wait ms':>14}  first"
    )
    for name, make in CASES.items():
        found = asyncio.run(_case(make, rounds))
        cause = re.search(r"^  cause +(\S+)", found[0].usage.output, re.MULTILINE)
        print(
            f"{name:28}{median(one.usage.wall for one in found):>8.2f}"
            f"{median(one.usage.peak_mib for one in found):>6.0f}"
            f"{median(one.statements for one in found):>6.0f}"
            f"{max(one.longest for one in found):>12.1f}{max(one.waited for one in found):>14.0f}"
            f"  {cause[1] if cause else '-'}, exit {found[0].usage.code}",
            flush=True,
        )


if __name__ == "__main__":
    main()
