"""PgBouncer's console and its facts, against the real one in front of a real PostgreSQL."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.safety.client import Client, wait_until
from tests.safety.tool import check, run
from tests.servers.listener import BannerServer, Listener
from tests.servers.pgbouncer import PgBouncer
from tests.servers.proxy import FaultProxy, Mode

from backend_doctor.backends.pgbouncer.connection import ConsoleConnection, connect
from backend_doctor.backends.pgbouncer.pools import Pools
from backend_doctor.backends.pgbouncer.settings import ClientCount, Databases, Settings
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers, clients_behind
from backend_doctor.backends.pgbouncer.stats import Stats
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer, free_port
from backend_doctor.facts import Absent, Login, Problem

MakePooler = Callable[..., PgBouncer]
CANARY = "c/an@ry%41"


def log_in(url: str, limit: float = 5.0) -> Login:
    async def once() -> Login:
        login, connection = await connect(parse_url(url, place="test"), limit=limit)
        if connection is not None:
            await connection.close()
        return login

    return asyncio.run(once())


def ask(url: str, *facts: Any) -> list[Any]:
    """These facts, each made from the connection and from those before it."""

    async def look() -> list[Any]:
        login, console = await connect(parse_url(url, place="test"), limit=5.0)
        assert console is not None, login
        found: list[Any] = []
        try:
            for fact in facts:
                made_of = [one for one in found if isinstance(one, Pools)]
                arguments = made_of if fact in (Clients, Servers) else []
                found.append(await fact.collect(console, *arguments))
        finally:
            await console.close()
        return found

    return asyncio.run(look())


@pytest.fixture
def pooler(make_pgbouncer: MakePooler, postgres15: PostgresServer) -> PgBouncer:
    return make_pgbouncer(postgres15, pool_size=2, stats_users=("doctor",), users={"doctor": ""})


@contextmanager
def leaked(pooler: PgBouncer, count: int = 2, application: str = "shop-api") -> Iterator[list[int]]:
    """Clients that keep a transaction open; the processes that serve them."""
    clients = [Client(pooler.url(), application) for _ in range(count)]
    try:
        for client in clients:
            client.do("BEGIN")
        yield [client.ask("SELECT pg_backend_pid()") for client in clients]
    finally:
        for client in clients:
            client.__exit__(None, None, None)


def test_facts_of_a_calm_pooler(pooler: PgBouncer) -> None:
    with Client(pooler.url(), "shop-api") as client:
        client.ask("SELECT 1")
        began = time.monotonic()
        pools, count, settings, databases, stats, clients, servers = ask(
            pooler.console_url(), Pools, ClientCount, Settings, Databases, Stats, Clients, Servers
        )
    assert time.monotonic() - began < 1, "no second sample where nobody waits"
    (pool,) = pools.last
    assert (pool.key, pool.waiting, pool.servers) == (("postgres", "postgres"), 0, 1)
    assert (len(pools.samples), pools.queues, count.used) == (1, [], 1)
    assert (settings.max_client_conn, settings.pool_size, settings.pool_mode) == (
        *(20, 2),
        "transaction",
    )
    assert settings.query_wait_timeout == 120
    (database,) = databases.databases
    assert (database.name, database.port) == ("postgres", pooler.upstream.port)
    assert (database.size, database.paused) == (2, False)
    assert stats.databases["postgres"].transactions >= 1
    (seen,) = clients.clients
    assert (seen.holder, seen.state, seen.server) == ("shop-api", "active", "")
    assert [server.client for server in servers.servers] == [""]


def test_a_queue_and_who_is_behind_it(pooler: PgBouncer) -> None:
    with leaked(pooler) as pids, Client(pooler.url(), "late") as late:
        waiting = late.start("SELECT 1")
        time.sleep(1.2)
        pools, clients, servers = ask(pooler.console_url(), Pools, Clients, Servers)
        assert len(pools.samples) == 2, "a queue in two samples is decided"
        (queue,) = pools.queues
        assert (queue.waited, queue.pool.waiting, queue.pool.active) == (2, 1, 2)
        assert 2.0 <= queue.max_wait <= 4.0
        assert {one.holder for one in clients.clients if one.waited} == {"late"}
        behind = clients_behind(clients, servers)
        assert sorted(behind) == sorted(pids)
        assert {one.application for one in behind.values()} == {"shop-api"}
        assert all(one.host == "127.0.0.1" and one.port for one in behind.values())
        waiting.cancel()


def test_one_connection_of_ours_and_show_alone(pooler: PgBouncer) -> None:
    async def session() -> ConsoleConnection:
        _, console = await connect(parse_url(pooler.console_url(), place="test"), limit=5)
        assert console is not None
        rows = await console.show("CLIENTS")
        ours = [row for row in rows if row["database"] == "pgbouncer"]
        assert [row["application_name"] for row in ours] == ["backend-doctor"]
        with pytest.raises(ValueError, match="not among the commands"):
            await console.show("FDS; PAUSE")
        await console.close()
        return console

    console = asyncio.run(session())
    assert console.is_closed()
    assert console.statements == 2
    logins = pooler.log().count("login attempt: db=pgbouncer")
    assert logins == 1


def test_a_name_that_is_no_utf8(pooler: PgBouncer) -> None:
    with psycopg.connect(pooler.url(), application_name="caf", client_encoding="latin1") as other:
        other.execute("SET application_name = 'caf\u00e9'")
        other.commit()
        pools, clients = ask(pooler.console_url(), Pools, Clients)
    assert pools.last
    (seen,) = clients.clients
    assert seen.holder.startswith("caf")


def test_why_a_login_fails(make_pgbouncer: MakePooler, postgres15: PostgresServer) -> None:
    users = {"doctor": CANARY, "app": "p"}
    pooler = make_pgbouncer(
        postgres15, auth_type="scram-sha-256", users=users, stats_users=("doctor",)
    )
    assert log_in(pooler.console_url("doctor", CANARY)).server == "PgBouncer 1.18.0"
    before = pooler.log().count("login attempt")
    for user, password, problem in (
        ("doctor", "wrong" + CANARY, Problem.LOGIN),
        ("doctor", None, Problem.LOGIN),
        ("nobody", "x", Problem.LOGIN),
        ("app", "p", Problem.RIGHTS),
    ):
        login = log_in(pooler.console_url(user, password))
        assert login.problem is problem, login
        assert "an@ry" not in login.message
        assert login.seconds < 1
    for mode in ("disable", "allow", "prefer"):
        assert log_in(f"{pooler.console_url('doctor', 'no')}?sslmode={mode}").problem is (
            Problem.LOGIN
        )
    assert pooler.log().count("login attempt") - before <= 7, "one try each"
    demanded = log_in(f"{pooler.console_url('doctor', CANARY)}?sslmode=require")
    assert demanded.problem is Problem.TLS
    itself = log_in(postgres15.url(database="pgbouncer"))
    assert (itself.problem, itself.answered_by) == (Problem.WRONG_PROTOCOL, "PostgreSQL")


def test_nobody_there(tmp_path: Any) -> None:
    for url, problem in (
        (f"postgresql://u@127.0.0.1:{free_port()}/pgbouncer", Problem.REFUSED),
        (f"postgresql://u@localhost:{free_port()}/pgbouncer", Problem.REFUSED),
        (f"postgresql://u@/pgbouncer?host={tmp_path}", Problem.REFUSED),
        ("postgresql://u@no-such-host.invalid/pgbouncer", Problem.NAME_UNKNOWN),
        (f"postgresql://u@{'x' * 70}/pgbouncer", Problem.NAME_UNKNOWN),
    ):
        login = log_in(url)
        assert login.problem is problem, login
        assert login.seconds < 1


@pytest.mark.parametrize("protocol", ["http", "ssh", "mysql"])
def test_another_protocol(protocol: str) -> None:
    with BannerServer(protocol) as banner:
        login = log_in(f"postgresql://u@127.0.0.1:{banner.port}/pgbouncer", 3.0)
    assert login.problem is Problem.WRONG_PROTOCOL
    assert login.answered_by


def test_silence_after_the_login_ends_in_time_and_without_a_second_connection(
    pooler: PgBouncer,
) -> None:
    async def lose(proxy: FaultProxy, url: str) -> tuple[float, int]:
        _, console = await connect(parse_url(url, place="test"), limit=5)
        assert console is not None
        proxy.switch(Mode.BLACK_HOLE)
        began, accepted = time.monotonic(), proxy.accepted
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await console.show("POOLS")
        assert console.is_closed()
        return time.monotonic() - began, int(proxy.accepted) - int(accepted)

    with FaultProxy(pooler.port) as proxy:
        url = pooler.console_url().replace(f":{pooler.port}/", f":{proxy.port}/")
        seconds, more = asyncio.run(lose(proxy, url))
    assert seconds < 1
    assert more == 0, "a request to cancel would be a second connection"
    with Listener() as silent:
        login = log_in(f"postgresql://u@127.0.0.1:{silent.port}/pgbouncer", 0.8)
    assert (login.problem, login.seconds < 1.2) == (Problem.TIMED_OUT, True)


def test_the_printed_line_is_enough_and_no_more(
    make_pgbouncer: MakePooler, postgres15: PostgresServer
) -> None:
    printed = run("grants", "pgbouncer", "--role", "watch-er").out
    (line,) = [one for one in printed.splitlines() if one and not one.startswith(";")]
    name, _, value = line.partition(" = ")
    pooler = make_pgbouncer(
        postgres15, settings={name: value}, auth_type="plain", users={"watch-er": CANARY}
    )
    url = pooler.console_url("watch-er", CANARY)
    ran = check("--window", "0", POOL=url)
    assert ran.code in (0, 3), ran.out
    assert {f["check"] for f in ran.findings()} == {
        f"pgbouncer.{one}"
        for one in ("reachability", "pool_waits", "client_limit", "pool_arithmetic")
    }
    assert {f["status"] for f in ran.findings()} <= {"ok", "skipped"}, ran.out
    with psycopg.connect(url, autocommit=True) as watcher:
        for command in ("PAUSE", "KILL postgres", "RELOAD", "SHUTDOWN", "SET max_client_conn = 1"):
            with pytest.raises(psycopg.Error, match="admin access needed"):
                watcher.execute(command)
    refused = run("grants", "pgbouncer", "--role", "a, b")
    assert refused.code == 3


def test_full_for_clients_and_open_for_us(
    make_pgbouncer: MakePooler, postgres15: PostgresServer
) -> None:
    pooler = make_pgbouncer(postgres15, max_client_conn=3)
    with Client(pooler.url(), "a"), Client(pooler.url(), "a"), Client(pooler.url(), "b"):
        ran = check("--window", "0", POOL=pooler.console_url("postgres"), DB=pooler.url())
        (limit,) = [f for f in ran.findings() if f["check"] == "pgbouncer.client_limit"]
        assert limit["cause"]["label"] == "pgbouncer.client_limit"
        assert "3 of 3 clients are connected, 2 by a; new ones are refused" in limit["summary"]
        (folded,) = [f for f in ran.findings() if f["check"] == "postgres.reachability"]
        assert folded["cause"]["label"] == "reach.full"
        assert folded["explained_by"]["under"] == limit["id"]
    assert wait_until(lambda: ask(pooler.console_url("postgres"), ClientCount)[0].used == 0)


def test_too_many_rows_are_not_asked_for(
    pooler: PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend_doctor.backends.pgbouncer.sockets.MOST_LISTED", 1)
    with Client(pooler.url(), "a"), Client(pooler.url(), "b"), pytest.raises(Absent, match="hold"):
        ask(pooler.console_url(), Pools, Clients)
