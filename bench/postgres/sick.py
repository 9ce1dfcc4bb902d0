"""One sick PostgreSQL 15: seven faults at once, and the applications that make them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import asyncpg
from tests.conftest import POSTGRES

from backend_doctor.demo.servers import PostgresServer

SETTINGS: dict[str, str | int] = {
    "max_connections": 30,
    "superuser_reserved_connections": 3,
    "shared_buffers": "128MB",
    "shared_preload_libraries": "pg_stat_statements",
    "log_connections": "on",
    # as the manual of pgbadger asks, so that it has something to read
    "log_disconnections": "on",
    "log_min_duration_statement": 0,
    "log_lock_waits": "on",
    "log_checkpoints": "on",
    "log_temp_files": 0,
    "log_autovacuum_min_duration": 0,
    "log_line_prefix": "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
}
ROWS = 2_000_000
LEAKED, IDLE, SEARCHES = 12, 9, 2
# long enough for every tool to call a transaction forgotten
SETTLE = 70.0

_SCHEMA = f"""
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION hypopg;
CREATE TABLE customers (id bigint PRIMARY KEY, name text);
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 100000) n;
CREATE TABLE orders (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers,
  created_at timestamptz NOT NULL, total numeric NOT NULL);
INSERT INTO orders SELECT n, 1 + (n * 7919::bigint) % 100000,
  timestamptz '2026-01-01' + n * interval '9 seconds', n % 500 FROM generate_series(1, {ROWS}) n;
CREATE INDEX orders_created_idx ON orders (created_at);
CREATE INDEX orders_created_idx2 ON orders (created_at);
CREATE TABLE order_items (
  id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, article text NOT NULL);
INSERT INTO order_items SELECT n, n * 5, 'article ' || n % 100 FROM generate_series(1, 300000) n;
CREATE TABLE invoices (number smallserial PRIMARY KEY, text text);
SELECT setval('invoices_number_seq', 31000);
CREATE TABLE balances (id int PRIMARY KEY, amount numeric NOT NULL);
INSERT INTO balances SELECT n, 100 FROM generate_series(1, 50) n;
"""
_SEARCH = "SELECT id, total FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT 20"


@dataclass(frozen=True)
class Sick:
    """The server while it is sick; ``root_pid`` heads the chain of locks."""

    server: PostgresServer
    root_pid: int


@contextmanager
def sick_server(settle: float = SETTLE) -> Iterator[Sick]:
    """The server with all seven faults, ``settle`` seconds old."""
    with PostgresServer(POSTGRES[15](), settings=SETTINGS) as server:
        ready, over = threading.Event(), threading.Event()
        found: list[int] = []

        def live() -> None:
            asyncio.run(_live(server, found, ready, over))

        applications = threading.Thread(target=live)
        applications.start()
        try:
            if not ready.wait(900) or not found:
                raise RuntimeError("the faults could not be made")
            over.wait(settle)
            yield Sick(server, found[0])
        finally:
            over.set()
            applications.join(30)


async def _live(
    server: PostgresServer, found: list[int], ready: threading.Event, over: threading.Event
) -> None:
    try:
        async with AsyncExitStack() as sessions:
            await _furnish(server)
            tasks = await _applications(server, found, sessions)
            ready.set()
            await asyncio.to_thread(over.wait)
            for task in tasks:
                task.cancel()
    finally:
        ready.set()


async def _furnish(server: PostgresServer) -> None:
    admin = await asyncpg.connect(server.admin_url())
    await admin.execute("CREATE ROLE app LOGIN IN ROLE pg_read_all_data, pg_write_all_data")
    await admin.execute(_SCHEMA, timeout=600)
    await admin.execute("VACUUM ANALYZE", timeout=600)
    await admin.close()


async def _applications(
    server: PostgresServer, found: list[int], sessions: AsyncExitStack
) -> list["asyncio.Task[None]"]:
    async def session(application: str) -> "asyncpg.Connection[asyncpg.Record]":
        connection = await asyncpg.connect(
            server.url("app"), server_settings={"application_name": application}
        )
        sessions.callback(connection.terminate)
        return connection

    for number in range(LEAKED):
        leaked = await session("billing-worker")
        await leaked.execute("BEGIN")
        await leaked.fetchrow("SELECT * FROM customers WHERE id = $1", number)
    for _ in range(IDLE):
        await (await session("web-pool")).fetchval("SELECT 1")
    root = await session("checkout-api")
    found.append(root.get_server_pid())
    await root.execute("BEGIN")
    await root.execute("UPDATE balances SET amount = 1 WHERE id = 1")
    middle = await session("refund-job")
    await middle.execute("BEGIN")
    await middle.execute("UPDATE balances SET amount = 1 WHERE id = 2")
    tasks = [asyncio.create_task(_update(middle, 1))]
    for _ in range(2):
        tasks.append(asyncio.create_task(_update(await session("ledger-api"), 2)))
    for _ in range(SEARCHES):
        tasks.append(asyncio.create_task(_search(await session("search-api"))))
    return tasks


async def _update(connection: "asyncpg.Connection[asyncpg.Record]", row: int) -> None:
    await connection.execute("UPDATE balances SET amount = amount - 1 WHERE id = $1", row)


async def _search(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    customer = 0
    while True:
        customer = customer % 100_000 + 7
        await connection.fetch(_SEARCH, customer)
        await asyncio.sleep(0.05)
