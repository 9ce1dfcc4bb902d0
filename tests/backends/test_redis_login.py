"""Redis' and Valkey's login: whatever can go wrong, and TLS."""

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.backends.redis_looks import (
    KINDS,
    MakeRedis,
    admin_of,
    all_slots,
    endpoint_of,
    log_in,
    opened,
)
from tests.servers.listener import BannerServer, Listener

from backend_doctor.demo.servers import RedisServer, free_port
from backend_doctor.endpoint import Endpoint, Tls
from backend_doctor.facts import Login, Problem
from backend_doctor.secret import Secret


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_password_is_one_attempt(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, password="right/@%", users=["doctor on >doctors +info"])
    with admin_of(server) as admin:
        before = admin.info("stats")["total_connections_received"]
        for user, password in (("doctor", "canary-1"), (None, "canary-2"), (None, None)):
            login = log_in(endpoint_of(server.url(user, password)))
            assert login.problem is Problem.LOGIN, login
            assert login.code == ("NOAUTH" if password is None else "WRONGPASS")
            assert "canary" not in login.message
        assert admin.info("stats")["total_connections_received"] == before + 3
        failures = [entry for entry in admin.acl_log() if entry["reason"] == "auth"]
        assert sum(entry["count"] for entry in failures) == 2
    assert log_in(endpoint_of(server.admin_url())).ok


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_lost_is_not_opened_again(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind)

    async def lose() -> None:
        _, connection = await opened(endpoint_of(server.url()))
        with admin_of(server) as admin:
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            before = admin.info("stats")["total_connections_received"]
            for _ in range(2):
                with pytest.raises(Exception, match=r"closed|lost|reset"):
                    await connection.info()
                assert connection.is_closed()
            assert admin.info("stats")["total_connections_received"] == before
        await connection.close()
        connection.abort()

    asyncio.run(lose())


def test_abort_closes_the_socket_at_once(valkey: RedisServer) -> None:
    async def drop() -> None:
        _, connection = await opened(endpoint_of(valkey.url()))
        connection.abort()
        assert connection.is_closed()
        await asyncio.sleep(0.1)
        with admin_of(valkey) as admin:
            names = [client["name"] for client in admin.client_list()]
            assert "backend-doctor" not in names

    asyncio.run(drop())


@pytest.mark.parametrize(
    ("protocol", "answered_by"), [("http", "HTTP"), ("ssh", "SSH"), ("amqp", "AMQP")]
)
def test_another_protocol_is_named(protocol: str, answered_by: str) -> None:
    with BannerServer(protocol) as other:
        login = log_in(endpoint_of(f"redis://127.0.0.1:{other.port}"), 2.0)
    assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, answered_by)


def test_postgres_is_named(postgres18: Any) -> None:
    login = log_in(endpoint_of(f"redis://127.0.0.1:{postgres18.port}"))
    assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, "PostgreSQL")


def test_nobody_there() -> None:
    refused = log_in(endpoint_of(f"redis://127.0.0.1:{free_port()}"))
    assert (refused.problem, refused.code) == (Problem.REFUSED, "ECONNREFUSED")
    assert refused.seconds < 1
    missing = log_in(endpoint_of("unix:///nonexistent/redis.sock"))
    assert missing.problem is Problem.REFUSED
    unknown = log_in(endpoint_of("redis://no-such-host.invalid"))
    assert unknown.problem is Problem.NAME_UNKNOWN


def test_a_silent_server_costs_the_limit_and_no_more() -> None:
    with Listener() as silent:
        started = time.monotonic()
        login = log_in(endpoint_of(f"redis://:canary@127.0.0.1:{silent.port}"), 1.0)
        assert time.monotonic() - started < 2.0
    assert login.problem is Problem.TIMED_OUT


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_still_loads(make_redis: MakeRedis, kind: str) -> None:
    slow = {"save": "3600 100000", "key-load-delay": 20000, "rdbcompression": "no"}
    server = make_redis(kind, settings={**slow, "loading-process-events-interval-bytes": 1024})
    with admin_of(server) as admin:
        for number in range(100):
            admin.set(f"key:{number}", "x" * 200)
        admin.save()
    restart = threading.Thread(target=server.restart)
    restart.start()
    found = set()
    try:
        while restart.is_alive() and Problem.STARTING not in found:
            found.add(log_in(endpoint_of(server.url())).problem)
    finally:
        restart.join()
    assert Problem.STARTING in found
    assert log_in(endpoint_of(server.url())).ok


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """A CA, and a certificate of it for ``localhost``; readable by the server's user."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is missing, the tests need it: apt-get install openssl"
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        common = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        for stem, subject, more in (
            ("ca", "/CN=test authority", []),
            (
                "server",
                "/CN=localhost",
                [
                    *("-addext", "subjectAltName=DNS:localhost"),
                    *("-addext", "basicConstraints=CA:FALSE"),
                    *("-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"),
                ],
            ),
        ):
            files = ["-keyout", f"{folder}/{stem}.key", "-out", f"{folder}/{stem}.pem"]
            subprocess.run(
                [*common, *files, "-subj", subject, *more],
                check=True,
                capture_output=True,
                timeout=60,
            )
        for path in folder.iterdir():
            path.chmod(0o644)
        yield folder


def test_tls(make_redis: MakeRedis, certificates: Path) -> None:
    port = free_port()
    server = make_redis(
        "redis",
        settings={
            "maxclients": 5,
            "tls-port": port,
            "tls-cert-file": certificates / "server.pem",
            "tls-ca-cert-file": certificates / "ca.pem",
            "tls-auth-clients": "no",
            "tls-key-file": certificates / "server.key",
        },
    )
    ca = str(certificates / "ca.pem")

    def attempt(host: str = "localhost", **tls: Any) -> Login:
        return log_in(Endpoint(kind="redis", hosts=((host, port),), tls=Tls(**tls)))

    assert attempt(mode="verify-full", ca_file=ca).ok
    assert attempt("127.0.0.1", mode="verify-ca", ca_file=ca).ok
    assert attempt("127.0.0.1", mode="require").ok
    name = attempt("127.0.0.1", mode="verify-full", ca_file=ca)
    assert name.problem is Problem.TLS
    assert "IP address mismatch" in name.message
    authority = attempt(mode="verify-full")
    assert authority.problem is Problem.TLS
    assert "self-signed certificate" in authority.message
    unreadable = attempt(mode="verify-full", ca_file="/nonexistent/ca.pem")
    assert (unreadable.problem, unreadable.seconds < 1) == (Problem.TLS, True)
    assert "/nonexistent/ca.pem cannot be read" in unreadable.message
    plain = log_in(endpoint_of(f"redis://localhost:{port}"))
    assert not plain.ok
    assert plain.seconds < 3
    with all_slots(server, 5):
        full = attempt(mode="require")
        assert not full.ok
        assert (full.problem, "maxclients" in full.message) == (Problem.OTHER, True), full


def test_a_secret_is_not_in_any_failure() -> None:
    secret = Secret("canary/with@signs")
    hosts = (("127.0.0.1", free_port()),)
    login = log_in(Endpoint(kind="redis", hosts=hosts, password=secret))
    assert "canary" not in repr(login)
