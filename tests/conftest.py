"""Real servers for all tests; nothing that already runs on the machine is used."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.servers.debian import debian_postgres_bin, redis_binary
from tests.servers.pgbouncer import PgBouncer
from tests.servers.wheels import postgres_16_bin, postgres_17_bin

from backend_doctor.demo.servers import (
    MongoServer,
    PostgresServer,
    RabbitServer,
    RedisServer,
    embedded_postgres_bin,
    valkey_binary,
)

POSTGRES: dict[int, Callable[[], Path]] = {
    15: debian_postgres_bin,
    16: postgres_16_bin,
    17: postgres_17_bin,
    18: embedded_postgres_bin,
}
# a shell's background job ignores SIGINT, which what the tests start would inherit
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
REDIS: dict[str, Callable[[], Path]] = {"valkey": valkey_binary, "redis": redis_binary}


@pytest.fixture(scope="session")
def postgres15() -> Iterator[PostgresServer]:
    """Debian's PostgreSQL 15 with 30 connections, shared: leave no session and no role behind."""
    with PostgresServer(POSTGRES[15](), settings={"max_connections": 30}) as server:
        yield server


@pytest.fixture(scope="session")
def postgres16() -> Iterator[PostgresServer]:
    """A wheel's PostgreSQL 16, which lacks pg_stat_statements, shared likewise."""
    with PostgresServer(POSTGRES[16](), settings={"max_connections": 30}) as server:
        yield server


@pytest.fixture(scope="session")
def postgres17() -> Iterator[PostgresServer]:
    """A wheel's PostgreSQL 17, shared likewise."""
    with PostgresServer(POSTGRES[17](), settings={"max_connections": 30}) as server:
        yield server


@pytest.fixture(scope="session")
def postgres18() -> Iterator[PostgresServer]:
    """The wheel's PostgreSQL 18 with 30 connections, shared likewise."""
    with PostgresServer(POSTGRES[18](), settings={"max_connections": 30}) as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    """The wheel's Valkey with 60 clients, shared."""
    with RedisServer(REDIS["valkey"](), settings={"maxclients": 60}) as server:
        yield server


@pytest.fixture(scope="session")
def redis7() -> Iterator[RedisServer]:
    """Debian's Redis 7 with 60 clients, shared."""
    with RedisServer(REDIS["redis"](), settings={"maxclients": 60}) as server:
        yield server


@pytest.fixture(scope="session")
def mongod() -> Iterator[MongoServer]:
    """The wheel's mongod, with logins (``admin``) and 60 connections, shared likewise."""
    with MongoServer(password="a/d@m%in") as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """Debian's RabbitMQ with its management API, shared: use a virtual host of your own."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Ends what a test has entered, last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_postgres(servers: ExitStack) -> Callable[..., PostgresServer]:
    """``make_postgres(15 to 18, settings=..., password=...)``: started, stopped by the fixture."""

    def make(version: int = 18, **options: Any) -> PostgresServer:
        return servers.enter_context(PostgresServer(POSTGRES[version](), **options))

    return make


@pytest.fixture
def make_redis(servers: ExitStack) -> Callable[..., RedisServer]:
    """``make_redis("valkey" or "redis", settings=..., password=..., users=...)``."""

    def make(kind: str = "valkey", **options: Any) -> RedisServer:
        return servers.enter_context(RedisServer(REDIS[kind](), **options))

    return make


@pytest.fixture
def make_mongo(servers: ExitStack) -> Callable[..., MongoServer]:
    """``make_mongo(settings=..., password=..., replica_set=...)``."""

    def make(**options: Any) -> MongoServer:
        return servers.enter_context(MongoServer(**options))

    return make


@pytest.fixture
def make_pgbouncer(servers: ExitStack) -> Callable[..., PgBouncer]:
    """``make_pgbouncer(upstream, pool_mode=..., pool_size=..., ...)``."""

    def make(upstream: PostgresServer, **options: Any) -> PgBouncer:
        return servers.enter_context(PgBouncer(upstream, **options))

    return make


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test is a failure in continuous integration: every server can be had there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
