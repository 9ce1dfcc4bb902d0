"""What was sick and is well again is well; what was seen once tells no rate."""

import time
from collections.abc import Iterator

import pytest
from tests.safety.client import OURS, Client, wait_until
from tests.safety.tool import check, ended, spawn
from tests.servers.debian import debian_postgres_bin

from backend_doctor.demo.servers import PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(debian_postgres_bin(), settings={"max_connections": 15}) as server:
        yield server


def test_sick_then_fixed_then_healthy(server: PostgresServer) -> None:
    clients = [Client(server.admin_url(), "billing") for _ in range(10)]
    try:
        for client in clients:
            client.do("BEGIN; SELECT count(*) FROM pg_class")
        sick = check(DB=server.admin_url())
        assert sick.code == 2
        assert sick.report["causes"][0]["label"] == "leak.idle_in_transaction"
    finally:
        for client in clients:
            client.__exit__(None, None, None)
    healthy = check(DB=server.admin_url())
    assert healthy.code == 0, healthy.out
    assert {f["status"] for f in healthy.findings()} == {"ok", "skipped"}


def test_one_look_tells_no_rate(server: PostgresServer) -> None:
    for _ in range(30):
        with Client(server.admin_url(), "churn"):
            pass
    ran = check("--window", "0", DB=server.admin_url())
    found = ran.finding("postgres.connection_churn")
    assert ran.code == 0, ran.out
    assert found["status"] == "skipped"
    assert found["measures"] == []
    assert found["summary"] == "Needs two looks; --window 0 allows one."
    assert {f["status"] for f in ran.findings()} == {"ok", "skipped"}
    assert ran.finding("postgres.pool_exhaustion")["status"] == "ok"


def test_reset_statistics_tell_no_rate(server: PostgresServer) -> None:
    with Client(server.admin_url()) as oracle:
        at = time.monotonic()
        process = spawn(
            "check", "--format", "json", "env:DB", "--window", "2", DB=server.admin_url()
        )
        assert wait_until(lambda: oracle.ask(OURS))
        time.sleep(0.8)
        oracle.do("SELECT pg_stat_reset()")
        ran = ended(process, at)
    found = ran.finding("postgres.connection_churn")
    assert found["status"] == "unknown"
    assert "reset" in found["summary"]
