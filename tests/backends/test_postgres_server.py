"""Counters, settings, slots and replication on real servers, a real standby among them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.checks.postgres.builders import instance
from tests.checks.postgres.builders import run as judge
from tests.conftest import POSTGRES
from tests.safety.client import Client, wait_until
from tests.servers.standby import StandbyServer

from backend_doctor import Finding, Status
from backend_doctor.backends.postgres.connection import PostgresConnection, connect
from backend_doctor.backends.postgres.counters import Counters, counts_within
from backend_doctor.backends.postgres.replication import Replication
from backend_doctor.backends.postgres.server_settings import ServerSettings
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import Looks

MIB = 1024**2
SETTINGS: dict[str, str | int] = {
    "max_wal_size": "32MB",
    "min_wal_size": "32MB",
    "max_slot_wal_keep_size": "16MB",
    "checkpoint_timeout": "1h",
    "archive_mode": "on",
    "archive_command": "exit 3",
    "shared_buffers": "16MB",
    "wal_level": "logical",
}
_VERSIONS = {15: 150000, 16: 160000, 17: 170000, 18: 180000}


@pytest.fixture(scope="module", params=[15, 16, 17, 18])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def server(version: int) -> Iterator[PostgresServer]:
    with PostgresServer(POSTGRES[version](), settings=SETTINGS) as running:
        yield running


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def look(url: str, collect: Callable[[PostgresConnection], Coroutine[Any, Any, Any]]) -> Any:
    """One fact through a session of the doctor's."""

    async def once() -> Any:
        login, connection = await connect(parse_url(url, place="test"), limit=5)
        assert connection is not None, login
        try:
            return await collect(connection)
        finally:
            await connection.close()

    return run(once())


def counters(server: PostgresServer, version: int) -> Counters:
    slots = Slots(used=1, version=_VERSIONS[version])
    return look(server.admin_url(), lambda db: Counters.collect(db, slots))  # type: ignore[no-any-return]


def test_counters_count_what_a_session_does(server: PostgresServer, version: int) -> None:
    first = counters(server, version)
    with Client(server.admin_url()) as client:
        client.do(
            "CREATE TABLE work AS SELECT i, repeat('x', 200) AS t FROM generate_series(1, 60000) i"
        )
        client.do("SET work_mem = '64kB'")
        client.ask("SELECT count(*) FROM (SELECT t FROM work ORDER BY md5(i::text) OFFSET 1) s")
        client.do("DELETE FROM work WHERE i % 2 = 0")
        client.do("CHECKPOINT")
    wait_until(lambda: counters(server, version).sessions > first.sessions)
    last = counters(server, version)
    assert first.epoch == last.epoch
    window = counts_within(Looks(first, last, 5.0))
    (one,) = [db for db in window.databases if db.name == "postgres"]
    assert one.sessions >= 1
    assert one.commits >= 4
    assert one.temp_files >= 1
    assert one.temp_bytes > MIB
    assert 90_000 <= one.rows_written < 91_000
    assert one.rows_read >= 120_000
    assert one.active_ms > 0
    assert one.hit_blocks > 1000
    assert window.wal_bytes > 10 * MIB
    assert window.checkpoints_requested >= 1
    assert window.checkpoint_buffers > 0
    assert last.recovery is None
    (written,) = [one for one in last.tables if one.name == "work"]
    assert (written.schema, written.rows) == ("public", 90_000)
    assert 0 < last.uptime < 600


def test_a_reset_is_another_epoch(server: PostgresServer, version: int) -> None:
    first = counters(server, version)
    with Client(server.admin_url()) as client:
        client.do("SELECT pg_stat_reset_shared('wal')")
        assert wait_until(lambda: counters(server, version).epoch != first.epoch)


def test_wal_that_fills_its_room_forces_checkpoints(server: PostgresServer, version: int) -> None:
    settings = look(server.admin_url(), ServerSettings.collect)
    assert settings.amount("max_wal_size") == 32 * MIB
    assert settings.amount("checkpoint_timeout") == 3600
    first = counters(server, version)
    with Client(server.admin_url()) as client:
        for _ in range(20):
            client.do("SELECT pg_logical_emit_message(false, 'x', repeat('x', 8000000))")
    wait_until(lambda: counters(server, version).checkpoints_requested > 4, 8)
    looks = Looks(first, counters(server, version), 5.0)
    (finding,) = judge("checkpoints", looks, settings, requested=2)
    assert finding.status is Status.WARNING, finding


def test_settings_are_those_of_the_server_not_of_our_guards(
    server: PostgresServer, version: int
) -> None:
    with Client(server.admin_url()) as client:
        client.do("ALTER SYSTEM SET max_connections = 31")
        client.do("ALTER SYSTEM SET enable_nestloop = off")
        client.do("SELECT pg_reload_conf()")
        pending = "SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'"
        assert wait_until(lambda: client.ask(pending))
        found = look(server.admin_url(), ServerSettings.collect)
        client.do("ALTER SYSTEM RESET ALL")
        client.do("SELECT pg_reload_conf()")
    assert found.pending == ("max_connections",)
    assert found.value("max_connections") == "30"
    assert found.value("fsync") == "off"
    assert found.value("idle_in_transaction_session_timeout") == "0"
    assert found.value("enable_nestloop") == "off"
    assert found.amount("shared_buffers") == 16 * MIB
    assert "plpgsql" in found.installed
    # the wheel of 16 holds no contrib modules
    assert ("pg_stat_statements" in found.available) is (version != 16)
    assert found.database == "postgres"


def test_a_line_that_no_start_would_take_is_seen_by_who_may(server: PostgresServer) -> None:
    with Client(server.admin_url()) as client:
        client.do("CREATE ROLE blind LOGIN; GRANT pg_monitor TO blind")
        file = Path(str(client.ask("SHOW config_file")))
        before = file.read_text(encoding="utf-8")
        wrong = "work_mem = 'secret'\nmax_connections = 31\nport = 'x'\nport = 1\n"
        try:
            file.write_text(before + wrong, encoding="utf-8")
            found = look(server.admin_url(), ServerSettings.collect)
            hidden = look(server.url("blind", None, "postgres"), ServerSettings.collect)
        finally:
            file.write_text(before, encoding="utf-8")
        client.do("DROP ROLE blind")
    line = before.count("\n") + 1
    assert [(one.place, one.name) for one in found.file_errors] == [(f"{file}:{line}", "work_mem")]
    assert "secret" not in repr(found)
    assert hidden.file_errors == ()
    assert hidden.settings == found.settings


def test_a_plain_role_reads_settings_and_replication(server: PostgresServer) -> None:
    with Client(server.admin_url()) as client:
        client.do("CREATE ROLE plain LOGIN")
    assert look(server.url("plain"), ServerSettings.collect).value("fsync") == "off"
    assert look(server.url("plain"), Replication.collect).role == "plain"


def replication(server: PostgresServer) -> Replication:
    return look(server.admin_url(), Replication.collect)  # type: ignore[no-any-return]


def test_a_slot_keeps_wal_until_it_is_lost(server: PostgresServer) -> None:
    with Client(server.admin_url()) as client:
        client.ask("SELECT pg_create_physical_replication_slot('feed', true)")
        (slot,) = replication(server).slots
        assert (slot.name, slot.active, slot.status) == ("feed", False, "reserved")
        assert replication(server).slot_limit == 16 * MIB
        for _ in range(6):
            client.do("SELECT pg_logical_emit_message(false, 'x', repeat('x', 8000000))")
        client.do("SELECT pg_switch_wal()")
        client.do("CHECKPOINT")
        (slot,) = replication(server).slots
        client.ask("SELECT pg_drop_replication_slot('feed')")
    assert slot.status in ("unreserved", "lost")


def test_an_archive_that_refuses_is_failing(server: PostgresServer) -> None:
    with Client(server.admin_url()) as client:
        client.do("SELECT pg_logical_emit_message(false, 'x', 'x')")
        client.do("SELECT pg_switch_wal()")
        failed = "SELECT failed_count FROM pg_stat_archiver"
        assert wait_until(lambda: client.ask(failed) > 0, 10)
    archiver = replication(server).archiver
    assert archiver is not None
    assert archiver.failing
    assert archiver.last_failed.startswith("0000")


def test_a_standby_is_seen_from_both_sides(version: int) -> None:
    with PostgresServer(POSTGRES[version]()) as primary, StandbyServer(primary) as copy:
        with Client(primary.admin_url()) as writer, Client(copy.admin_url()) as reader:
            writer.do("CREATE TABLE work (t text); CREATE ROLE plain LOGIN")
            there = "SELECT count(*) FROM pg_class WHERE relname = 'work'"
            assert wait_until(lambda: reader.ask(there) == 1, 10)
            assert replication(primary).standbys[0].name == "copy"
            assert look(primary.url("plain"), Replication.collect).hidden == 1
            (calm,) = _judge_standby(copy, counters(copy, version), version)
            assert calm.summary == "This standby has replayed all that it received."
            reader.do("SELECT pg_wal_replay_pause()")
            for _ in range(4):
                writer.do("SELECT pg_logical_emit_message(true, 'x', repeat('x', 8000000))")
            assert wait_until(lambda: (replication(primary).standbys[0].behind or 0) > 30 * MIB)
            assert wait_until(lambda: _waiting(copy, version) > 30 * MIB)
            first = counters(copy, version)
            (late,) = _judge_standby(copy, first, version, warning=0.0)
            assert late.status is Status.WARNING
            assert late.cause is not None
            assert late.cause.label == "replication.lag"
            reader.do("SELECT pg_wal_replay_resume()")
            assert wait_until(lambda: _waiting(copy, version) == 0, 10)
        primary.halt()
        assert wait_until(lambda: _receivers(copy, version) == 0, 10)
        (broken,) = _judge_standby(copy, counters(copy, version), version)
        assert broken.cause is not None
        assert broken.cause.label == "replication.broken"
        with Client(copy.admin_url()) as admin:
            assert admin.ask("SELECT pg_promote()")
        replica = msgspec.structs.replace(instance(), settings={"role": "replica"})
        (promoted,) = _judge_standby(copy, counters(copy, version), version, where=replica)
        assert promoted.cause is not None
        assert promoted.cause.label == "replication.promoted"


def _waiting(server: PostgresServer, version: int) -> int:
    recovery = counters(server, version).recovery
    return recovery.waiting if recovery else 0


def _receivers(server: PostgresServer, version: int) -> int:
    recovery = counters(server, version).recovery
    return recovery.receivers if recovery else 0


def _judge_standby(
    server: PostgresServer, first: Counters, version: int, where: Any = None, **limits: float
) -> list[Finding]:
    looks = Looks(first, counters(server, version), 1.0)
    return judge("standby", replication(server), looks, where or instance(), **limits)
