"""What `grants` prints is enough for every check, and cannot write."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import jwt
import pytest
import redis

from backend_doctor.demo.servers import PostgresServer, RedisServer


def backend_doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend_doctor", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("version", [15, 18])
def test_postgres_role_is_enough_and_cannot_write(
    version: int, make_postgres: Callable[..., PostgresServer]
) -> None:
    asyncio.run(_postgres_role(make_postgres(version)))


@pytest.mark.parametrize("version", [15, 18])
def test_postgres_plans_read_data_and_cannot_write(
    version: int, make_postgres: Callable[..., PostgresServer]
) -> None:
    asyncio.run(_postgres_plans(make_postgres(version)))


async def _postgres_plans(server: PostgresServer) -> None:
    admin = await asyncpg.connect(server.admin_url("postgres"))
    await admin.execute("CREATE TABLE public.orders (id int)")
    printed = backend_doctor("grants", "postgres", "--role", 'watch"er')
    assert printed.returncode == 0, printed.stderr
    await admin.execute(printed.stdout)
    watcher = await asyncpg.connect(server.url('watch"er', None, "postgres"))
    try:
        assert await watcher.fetch("SELECT * FROM public.orders") == []
        assert await watcher.fetch("EXPLAIN SELECT * FROM public.orders")
        await watcher.execute("SET default_transaction_read_only = off")
        for statement in _FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await watcher.execute(statement)
    finally:
        await watcher.close()
        await admin.close()


_FORBIDDEN = (
    "CREATE TABLE public.mine (id int)",
    "INSERT INTO public.orders VALUES (1)",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "SELECT pg_stat_reset()",
)


async def _postgres_role(server: PostgresServer) -> None:
    admin = await asyncpg.connect(server.admin_url("postgres"))
    await admin.execute("CREATE TABLE public.orders (id int)")
    printed = backend_doctor("grants", "postgres", "--no-plans", "--role", 'watch"er')
    assert printed.returncode == 0, printed.stderr
    await admin.execute(printed.stdout)
    url = server.url('watch"er', None, "postgres")

    found = backend_doctor("check", "env:WATCHED", "--format", "json", WATCHED=url)
    report = json.loads(found.stdout)
    assert found.returncode == 0, found.stdout
    told = [one for one in report["findings"] if "pg_stat_statements" not in one["summary"]]
    assert {finding["status"] for finding in told} == {"ok"}

    watcher = await asyncpg.connect(url)
    try:
        await watcher.execute("SET default_transaction_read_only = off")
        for statement in (
            *_FORBIDDEN,
            "SELECT * FROM public.orders",
            "EXPLAIN SELECT * FROM public.orders",
            f"SELECT pg_terminate_backend({admin.get_server_pid()})",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await watcher.execute(statement)
    finally:
        await watcher.close()
        await admin.close()


@pytest.mark.parametrize("product", ["valkey", "redis"])
def test_redis_user_is_enough_and_reads_no_key(
    product: str, make_redis: Callable[..., RedisServer]
) -> None:
    server = make_redis(product)
    printed = backend_doctor("grants", "redis", "--role", "watcher")
    line = next(line for line in printed.stdout.splitlines() if line.startswith("ACL"))
    with redis.Redis(host=server.host, port=server.port) as admin:
        admin.execute_command(*line.split())
        admin.execute_command("ACL", "SETUSER", "watcher", "on", ">pass")
        admin.set("key", "value")

    url = server.url("watcher", "pass", 0)
    found = backend_doctor("check", "env:WATCHED", "--format", "json", WATCHED=url)
    report = json.loads(found.stdout)
    assert found.returncode == 0, found.stdout
    assert {finding["status"] for finding in report["findings"]} == {"ok"}

    with redis.Redis(
        host=server.host, port=server.port, username="watcher", password="pass"
    ) as watcher:
        for command in ("GET key", "SET key 1", "KEYS *", "CONFIG GET *", "CLIENT KILL ID 1"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                watcher.execute_command(*command.split())


def test_redis_user_lists_session_keys_only_where_that_is_asked_for(
    make_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = make_redis("redis")
    pattern = 'it"s:*'
    printed = backend_doctor("grants", "redis", "--role", "watcher", "--session-keys", pattern)
    assert "It reads no key." not in printed.stdout
    subprocess.run(
        ["redis-cli", "-p", str(server.port)],
        input=printed.stdout,
        text=True,
        timeout=10,
        check=True,
    )
    with redis.Redis(host=server.host, port=server.port) as admin:
        admin.execute_command("ACL", "SETUSER", "watcher", "on", ">pass")
        admin.set('it"s:1', "c4n4ry", ex=60)
    with redis.Redis(
        host=server.host, port=server.port, username="watcher", password="pass", db=1
    ) as watcher:
        watcher.select(0)
        assert watcher.scan(0, match=pattern) == (0, [b'it"s:1'])
        assert watcher.pttl('it"s:1') > 50_000
        for command in ('GET it"s:1', 'PEXPIRE it"s:1 1', "PTTL other", "KEYS *", "DBSIZE"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                watcher.execute_command(*command.split())

    place = {"url": server.url("watcher", "pass", 0)}
    token = {"sample": "env:SAMPLE", "session_keys": pattern}
    file = tmp_path / "backend-doctor.yaml"
    file.write_text(json.dumps({"services": {"shop": {"redis": place, "token": token}}}))
    file.chmod(0o600)
    sample = jwt.encode({"exp": int(time.time()) + 50}, "k" * 40)
    options = ("--config", str(file), "--window", "0.5", "--format", "json")
    found = backend_doctor("check", *options, SAMPLE=sample)
    report = {one["check"]: one for one in json.loads(found.stdout)["findings"]}
    assert report["token.session_store"]["status"] == "ok", found.stdout
    assert 'it\\"s:1' not in found.stdout
    assert "c4n4ry" not in found.stdout


def test_session_keys_that_no_acl_can_hold_are_refused() -> None:
    refused = backend_doctor("grants", "redis", "--session-keys", "a:* +@all")
    assert refused.returncode == 3
    assert "no blank" in refused.stderr


def test_redis_name_that_would_break_the_line_is_refused() -> None:
    refused = backend_doctor("grants", "redis", "--role", "a b on nopass")
    assert refused.returncode == 3
    assert "letters, digits" in refused.stderr
