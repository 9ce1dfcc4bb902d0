"""What applications do on a PostgreSQL, well or badly: the stuff that faults are made of."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from tests.scenarios.frame.place import ROWS, PostgresPlace


async def browse(place: PostgresPlace, application: str, table: str, pause: float) -> None:
    """Reads one row after the other over one lasting connection, each its own transaction."""
    connection = await place.connect(application)
    while True:
        number = place.random.randint(1, ROWS)
        await connection.fetchrow(f"SELECT * FROM {table} WHERE id = $1", number)
        await asyncio.sleep(pause)


def background(place: PostgresPlace, connections: int, table: str) -> None:
    """Another application's steady, healthy load."""
    for _ in range(connections):
        place.run(browse(place, place.names.other, table, place.random.uniform(0.03, 0.08)))


@asynccontextmanager
async def pool(place: PostgresPlace, size: int) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """The application's pool, cut off at the end whatever still uses it."""
    settings = {"application_name": place.names.application}
    made = await asyncpg.create_pool(
        place.url(), min_size=0, max_size=size, server_settings=settings
    )
    try:
        yield made
    finally:
        made.terminate()


async def leak_a_transaction(pool: "asyncpg.Pool[asyncpg.Record]", statement: str) -> None:
    """One request: takes a connection, begins, reads, fails, and returns nothing."""
    connection = await pool.acquire()
    await connection.transaction().start()
    await connection.fetchrow(statement, 7)
    raise LookupError("no such thing")


async def work_in_transactions(
    place: PostgresPlace, pool: "asyncpg.Pool[asyncpg.Record]", statement: str
) -> None:
    """Requests that think for a moment inside a transaction, then end it."""
    while True:
        async with pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(statement, place.random.randint(1, 50))
            await asyncio.sleep(place.random.uniform(0.04, 0.12))
        await asyncio.sleep(0.005)


async def add_to_row(place: PostgresPlace, row: int, hold: float) -> None:
    """A writer that updates one row again and again, holding it for ``hold`` seconds."""
    names = place.names
    connection = await place.connect(names.application)
    update = f"UPDATE {names.table} SET {names.column} = {names.column} + 1 WHERE id = $1"
    while True:
        async with connection.transaction():
            await connection.execute(update, row)
            await asyncio.sleep(hold)


async def reconnect_for_each_query(place: PostgresPlace, per_second: float) -> None:
    """Connects, asks once, leaves; at a steady pace."""
    names, due = place.names, time.monotonic()

    async def once() -> None:
        settings = {"application_name": names.application}
        connection = await asyncpg.connect(place.url(), server_settings=settings)
        await connection.execute(f"SELECT count(*) FROM {names.table} WHERE id < 50")
        await connection.close()

    visits: set[asyncio.Task[None]] = set()
    try:
        while True:
            visits = {visit for visit in visits if not visit.done()}
            visits.add(asyncio.create_task(once()))
            due += 1 / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    finally:
        await asyncio.gather(*visits, return_exceptions=True)


async def start_worker(place: PostgresPlace, size: int) -> None:
    """One process of the application with a pool of its own, ended when the fault is undone."""
    names = place.names
    task = {
        "url": place.url(),
        "application": names.application,
        "size": size,
        "statement": f"SELECT * FROM {names.table} WHERE id = {place.random.randint(1, ROWS)}",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("worker.py")),
        json.dumps(task),
        stdin=asyncio.subprocess.PIPE,
    )

    async def end() -> None:
        process.kill()
        await process.wait()

    place.jobs.push_async_callback(end)
