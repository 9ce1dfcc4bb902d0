"""A server that refuses us, or a part of what we ask: why, and after one try only."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.safety.client import Client
from tests.safety.tool import check

from backend_doctor.demo.servers import PostgresServer, RedisServer

_TIMING = ("--connect-timeout", "1.5", "--window", "0.3", "--deadline", "5")


def test_a_wrong_password_is_tried_once(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres(15, password="right", settings={"log_connections": "on"})
    _certificate(server.data)
    server.restart()
    for mode in ("disable", "allow", "prefer", "require"):
        before = server.log().count("password authentication failed")
        ran = check(*_TIMING, DB=f"{server.url(password='wrong')}?sslmode={mode}")
        assert ran.code == 2
        assert ran.causes() == {"reach.login"}
        assert server.log().count("password authentication failed") == before + 1
    assert check(*_TIMING, DB=f"{server.admin_url()}?sslmode=require").code == 0
    verified = check(*_TIMING, DB=f"{server.admin_url()}?sslmode=verify-full")
    assert verified.causes() == {"reach.tls"}
    assert "self-signed certificate" in verified.out


def _certificate(data: Path) -> None:
    """A certificate of the server's own making; TLS is on from the next start."""
    names = data / "server.crt", data / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=db.example",
         "-out", str(names[0]), "-keyout", str(names[1])],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    owner = data.stat()
    for name in names:
        name.chmod(0o600)
        os.chown(name, owner.st_uid, owner.st_gid)
    (data / "postgresql.auto.conf").write_text("ssl = on\n")


def test_tls_demanded_of_a_server_without(postgres15: PostgresServer) -> None:
    ran = check(*_TIMING, DB=f"{postgres15.admin_url()}?sslmode=require")
    assert ran.code == 2
    assert ran.causes() == {"reach.tls"}


def test_a_wrong_redis_password_is_tried_once(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(password="right")
    ran = check(*_TIMING, DB=server.url(password="wrong"))
    assert ran.code == 2
    assert ran.causes() == {"reach.login"}


def test_a_missing_database(postgres15: PostgresServer) -> None:
    ran = check(*_TIMING, DB=postgres15.url(database="nowhere"))
    assert ran.code == 2
    assert ran.causes() == {"reach.login"}
    assert 'database "nowhere" does not exist' in ran.finding("postgres.reachability")["summary"]


def test_a_database_that_this_role_may_not_enter(postgres15: PostgresServer) -> None:
    with Client(postgres15.admin_url()) as admin:
        admin.do("CREATE ROLE visitor LOGIN")
        admin.do("CREATE DATABASE closed")
        admin.do("REVOKE CONNECT ON DATABASE closed FROM public")
        try:
            ran = check(*_TIMING, DB=postgres15.url("visitor", database="closed"))
        finally:
            admin.do("DROP DATABASE closed")
            admin.do("DROP ROLE visitor")
    assert ran.code == 2
    assert ran.causes() == {"reach.rights"}


def test_a_server_in_recovery_that_takes_no_clients(
    make_postgres: Callable[..., PostgresServer],
) -> None:
    server = make_postgres(15)
    server.settings |= {"hot_standby": "off", "restore_command": "false"}
    (server.data / "standby.signal").touch(0o644)
    owner = server.data.stat()
    os.chown(server.data / "standby.signal", owner.st_uid, owner.st_gid)
    server._ready = lambda: "entering standby mode" in server._log_since_start()  # type: ignore[method-assign]
    server.restart()
    ran = check(*_TIMING, DB=server.admin_url())
    assert ran.code == 2
    assert ran.causes() == {"reach.starting"}


def test_a_full_server(make_postgres: Callable[..., PostgresServer]) -> None:
    settings = {"max_connections": 4, "superuser_reserved_connections": 1}
    server = make_postgres(15, settings=settings)
    with Client(server.admin_url()) as admin:
        admin.do("CREATE ROLE doctor LOGIN IN ROLE pg_monitor")
        with Client(server.admin_url()), Client(server.admin_url()):
            ran = check(*_TIMING, DB=server.url("doctor"))
    assert ran.code == 2
    assert "reach.full" in ran.causes()


def test_a_role_that_cannot_see_is_told_the_grant(postgres15: PostgresServer) -> None:
    with Client(postgres15.admin_url()) as admin:
        admin.do('CREATE ROLE "we""ird; DROP" LOGIN')
        try:
            blind = check(*_TIMING, DB=postgres15.url('we"ird; DROP'))
            told = {r["command"] for f in blind.findings() for r in f["remedies"]}
            # the other remedies load what this server has not installed
            grants = {command for command in told if command.startswith("GRANT")}
            admin.do("; ".join(grants))
            seeing = check(*_TIMING, DB=postgres15.url('we"ird; DROP'))
        finally:
            admin.do('DROP ROLE "we""ird; DROP"')
    assert blind.code == 3
    assert grants == {'GRANT pg_monitor TO "we""ird; DROP";'}
    assert blind.finding("postgres.idle_in_transaction")["status"] == "unknown"
    assert blind.finding("postgres.lock_waits")["status"] == "unknown"
    assert seeing.code == 0
