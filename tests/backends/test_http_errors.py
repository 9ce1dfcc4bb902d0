"""Every error that is recognised is produced here by the library that raises it."""

import asyncio
import contextlib
import json
import resource
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg2.pool
import psycopg_pool
import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis.backoff import NoBackoff
from redis.retry import Retry
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

ONCE = Retry(NoBackoff(), 0)


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


def test_psycopg_pools(postgres18: PostgresServer) -> None:
    url = postgres18.admin_url()
    pool = psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, timeout=0.2, open=True)
    with pool, pool.connection():
        for text in raised(pool.getconn):
            assert recognise(text) == "psycopg.pool_timeout"
            assert pool_wait_of(text) == 0.2
    older = psycopg2.pool.ThreadedConnectionPool(1, 1, url)
    older.getconn()
    for text in raised(older.getconn):
        assert recognise(text) == "psycopg.pool_exhausted"
    older.closeall()


async def _alone(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        connection.terminate()


async def _beside(url: str, *statements: str) -> None:
    holder = await asyncpg.connect(url)
    try:
        await holder.execute("BEGIN; LOCK pg_catalog.pg_description IN ACCESS EXCLUSIVE MODE")
        await _alone(url, *statements)
    finally:
        holder.terminate()


async def _shared(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await asyncio.gather(*(connection.execute("SELECT pg_sleep(0.1)") for _ in range(2)))
    finally:
        connection.terminate()


@pytest.mark.parametrize(
    ("name", "work", "statements"),
    [
        (
            "postgres.statement_timeout",
            _alone,
            ["SET statement_timeout = 20", "SELECT pg_sleep(1)"],
        ),
        (
            "postgres.lock_timeout",
            _beside,
            ["SET lock_timeout = 20", "SELECT count(*) FROM pg_catalog.pg_description"],
        ),
        (
            "postgres.lock_timeout",
            _beside,
            ["BEGIN; LOCK pg_catalog.pg_description IN SHARE MODE NOWAIT"],
        ),
        ("postgres.read_only", _alone, ["BEGIN READ ONLY; CREATE TABLE written (id int)"]),
        ("postgres.shared_connection", _shared, []),
    ],
)
def test_postgres_refuses(
    postgres18: PostgresServer, name: str, work: Callable[..., Any], statements: list[str]
) -> None:
    for text in raised(lambda: asyncio.run(work(postgres18.admin_url(), *statements))):
        assert recognise(text) == name


async def _forgotten(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.fetch("SELECT 1")
        # as a server connection of a pooler is, on which the statement was never prepared
        await connection.execute("DEALLOCATE ALL")
        await connection.fetch("SELECT 1")
    finally:
        connection.terminate()


def test_a_statement_that_is_prepared_elsewhere(postgres18: PostgresServer) -> None:
    for text in raised(lambda: asyncio.run(_forgotten(postgres18.admin_url()))):
        assert recognise(text) == "pgbouncer.prepared_statements"
        assert recognise(json.dumps({"detail": text})) == "pgbouncer.prepared_statements"


def test_a_session_that_idled_in_its_transaction(postgres18: PostgresServer) -> None:
    with psycopg.connect(postgres18.admin_url()) as connection:
        connection.execute("SET idle_in_transaction_session_timeout = 20")
        threading.Event().wait(0.2)
        for text in raised(lambda: connection.execute("SELECT 1")):
            assert recognise(text) == "postgres.idle_in_transaction_timeout"
        connection.close()


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

    async def taken() -> None:
        pool = redis.asyncio.ConnectionPool.from_url(valkey.admin_url(), max_connections=1)
        get: Callable[[], Any] = pool.get_connection
        try:
            for _ in range(2):
                await get()
        finally:
            await pool.disconnect()

    for text in raised(lambda: asyncio.run(taken())):
        assert recognise(text) == "redis.pool_exhausted"
    full = make_redis(settings={"maxclients": 1})
    with redis.Redis.from_url(full.admin_url()) as one, redis.Redis.from_url(full.url()) as other:
        one.ping()
        assert recognise(raised(other.ping)[2]) == "redis.maxclients"


def test_redis_refuses_writes(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(settings={"maxmemory": 1})
    with redis.Redis.from_url(server.admin_url()) as client:
        for text in raised(lambda: client.set("a", "b")):
            assert recognise(text) == "redis.out_of_memory"
        client.config_set("maxmemory", 0)
        client.replicaof("127.0.0.1", 1)
        for text in raised(lambda: client.set("a", "b")):
            assert recognise(text) == "redis.read_only"


def test_what_is_needed_and_not_there() -> None:
    nowhere = redis.Redis(port=1, retry=ONCE)
    *_, trace = raised(nowhere.ping)
    assert recognise(trace) == "application.connection_refused"
    words, *_ = raised(lambda: asyncio.run(asyncpg.connect("postgresql://127.0.0.1:1/x")))
    assert recognise(words) == "application.connection_refused"
    for host in ("database.invalid", "no-such-host"):
        asked = redis.Redis(host=host, retry=ONCE)
        assert recognise(raised(asked.ping)[2]) == "application.name_unknown"


def test_the_machines_own_limits() -> None:
    def write() -> None:
        with Path("/dev/full").open("wb") as full:
            full.write(b"x")

    for text in raised(write):
        assert recognise(text) == "host.disk_full"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        found = raised(socket.socket)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {recognise(text) for text in found} == {"process.open_files"}


def test_mongodb(make_mongo: Callable[..., MongoServer]) -> None:
    nowhere: MongoClient[Any] = MongoClient("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=100)
    for text in raised(nowhere.server_info):
        assert recognise(text) == "mongodb.unreachable"
    nowhere.close()
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

    async def crowded() -> None:
        motor: AsyncIOMotorClient[Any] = AsyncIOMotorClient(
            f"mongodb://{server.host}:{server.port}", maxPoolSize=1, waitQueueTimeoutMS=100
        )
        slow = {"$where": "sleep(500) || true"}
        await asyncio.gather(*(motor.shop.orders.find_one(slow) for _ in range(2)))

    for text in raised(lambda: asyncio.run(crowded())):
        assert recognise(text) == "mongodb.pool_timeout"


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
