"""Every error that is recognised is produced here by the library that raises it."""

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from backend_doctor.backends.http.errors import (
    KNOWN_ERRORS,
    meaning,
    named,
    pool_of,
    pool_wait_of,
    recognise,
)
from backend_doctor.demo.servers import MongoServer, PostgresServer, RedisServer


def raised(act: Callable[[], Any]) -> tuple[str, str, str]:
    """What an application may show of an error: its words, its name with them, its traceback."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - whatever the library raises is the point
        text = "".join(traceback.format_exception(error))
        return str(error), f"{type(error).__name__}: {error}", text
    raise AssertionError("nothing was raised")


def test_sqlalchemy(tmp_path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{tmp_path / 'db'}",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.05,
    )
    with contextlib.suppress(SQLAlchemyError), engine.connect():
        for text in raised(engine.connect):
            assert recognise(text) == "sqlalchemy.pool_timeout"
            assert pool_of(text) == (1, 0)
            assert pool_wait_of(text) == 0.05
    engine.dispose()


async def _starve(url: str) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire():
        await pool.acquire(timeout=0.1)


def test_asyncpg_pool(postgres18: PostgresServer) -> None:
    words, name, trace = raised(lambda: asyncio.run(_starve(postgres18.admin_url())))
    assert recognise(words) == ""
    assert recognise(name) == "application.timeout"
    assert recognise(trace) == "asyncpg.pool_timeout"


async def _cut_off(url: str) -> None:
    kept, admin = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await admin.execute("SELECT pg_terminate_backend($1)", kept.get_server_pid())
        await asyncio.sleep(0.2)
        await kept.execute("SELECT 1")
    finally:
        await admin.close()


def test_a_connection_that_had_ended(postgres18: PostgresServer) -> None:
    for text in raised(lambda: asyncio.run(_cut_off(postgres18.admin_url()))):
        assert recognise(text) == "postgres.connection_lost"


async def _crowd(url: str) -> None:
    connections = []
    try:
        while True:
            connections.append(await asyncpg.connect(url))
    finally:
        for connection in connections:
            await connection.close()


def test_postgres_full(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres(18, settings={"max_connections": 5})
    for text in raised(lambda: asyncio.run(_crowd(server.admin_url()))):
        assert recognise(text) == "postgres.too_many_connections"


async def _circle(url: str) -> None:
    one, two = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await one.execute("SET deadlock_timeout = '20ms'; BEGIN; SELECT pg_advisory_xact_lock(1)")
        await two.execute("BEGIN; SELECT pg_advisory_xact_lock(2)")
        waiting = asyncio.create_task(two.execute("SELECT pg_advisory_xact_lock(1)"))
        await asyncio.sleep(0.1)
        await one.execute("SELECT pg_advisory_xact_lock(2)")
    finally:
        one.terminate()
        await waiting
        two.terminate()


def test_postgres_deadlock(postgres18: PostgresServer) -> None:
    for text in raised(lambda: asyncio.run(_circle(postgres18.admin_url()))):
        assert recognise(text) == "postgres.deadlock"


def test_pgbouncer(make_pgbouncer: Callable[..., Any], postgres18: PostgresServer) -> None:
    pooler = make_pgbouncer(postgres18, max_client_conn=2)
    for text in raised(lambda: asyncio.run(_crowd(pooler.url()))):
        assert recognise(text) == "pgbouncer.client_limit"
    slow = make_pgbouncer(postgres18, pool_size=1, settings={"query_wait_timeout": 1})

    async def wait() -> None:
        holder, waiter = await asyncpg.connect(slow.url()), await asyncpg.connect(slow.url())
        try:
            async with holder.transaction():
                await holder.execute("SELECT 1")
                await waiter.execute("SELECT 1")
        finally:
            holder.terminate()
            waiter.terminate()

    assert recognise(raised(lambda: asyncio.run(wait()))[0]) == "pgbouncer.pool_timeout"


def test_redis_pools(valkey: RedisServer, make_redis: Callable[..., RedisServer]) -> None:
    plain = redis.ConnectionPool.from_url(valkey.admin_url(), max_connections=1)
    plain.get_connection()
    for text in raised(plain.get_connection):
        assert recognise(text) == "redis.pool_exhausted"
    patient = redis.BlockingConnectionPool.from_url(
        valkey.admin_url(), max_connections=1, timeout=0.05
    )
    take: Callable[[], Any] = patient.get_connection
    take()
    for text in raised(take):
        assert recognise(text) == "redis.pool_exhausted"
    for pool in (plain, patient):
        pool.disconnect()
    full = make_redis(settings={"maxclients": 1})
    with redis.Redis.from_url(full.admin_url()) as one, redis.Redis.from_url(full.url()) as other:
        one.ping()
        assert recognise(raised(other.ping)[2]) == "redis.maxclients"


def test_mongodb(make_mongo: Callable[..., MongoServer]) -> None:
    nowhere: MongoClient[Any] = MongoClient("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=100)
    _, name, _ = raised(nowhere.server_info)
    nowhere.close()
    assert recognise(name) == "mongodb.unreachable"
    server = make_mongo()
    client: MongoClient[Any] = MongoClient(
        f"mongodb://{server.host}:{server.port}", maxPoolSize=1, waitQueueTimeoutMS=100
    )
    client.shop.orders.insert_one({"n": 1})

    def hold() -> None:
        with contextlib.suppress(PyMongoError):
            client.shop.orders.find_one({"$where": "sleep(1500) || true"})

    holder = threading.Thread(target=hold)
    holder.start()
    threading.Event().wait(0.3)
    for text in raised(lambda: client.shop.orders.find_one({})):
        assert recognise(text) == "mongodb.pool_timeout"
    holder.join(5)
    client.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Internal Server Error",
        '{"detail":"Not Found"}',
        "the queue pool is fine",
        "ReadTimeoutErrors are counted",
    ],
)
def test_other_words_mean_nothing(text: str) -> None:
    assert recognise(text) == ""
    assert pool_of(text) is None


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert recognise(text) in {"", *(known.name for known in KNOWN_ERRORS)}


def test_names_are_explained() -> None:
    assert all(meaning(known.name) for known in KNOWN_ERRORS)
    assert len({known.name for known in KNOWN_ERRORS}) == len(KNOWN_ERRORS)
    assert named(["b", "", "a", "b"]) == ("b", "a")
