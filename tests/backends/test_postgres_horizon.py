"""Who holds the horizon, and which tables need vacuum, on real servers of all versions."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.conftest import POSTGRES

from backend_doctor.backends.postgres.connection import PostgresConnection, connect
from backend_doctor.backends.postgres.horizon import Holder, Horizon, stands_still
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.table_activity import Maintained, TableActivity
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import Absent, Looks

SETTINGS: dict[str, str | int] = {
    "wal_level": "logical",
    "max_prepared_transactions": 3,
    "autovacuum_naptime": "600s",
    "autovacuum_analyze_threshold": 70,
}
Session = asyncpg.Connection


@pytest.fixture(scope="module", params=[15, 16, 17, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(POSTGRES[request.param](), settings=SETTINGS) as running:
        yield running


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


class Visit:
    """Sessions that end with the test: applications, an administrator, ours."""

    def __init__(self, server: PostgresServer) -> None:
        self._server, self._open = server, AsyncExitStack()

    async def __aenter__(self) -> "Visit":
        self.admin = await self.application("psql")
        login, doctor = await connect(parse_url(self._server.admin_url(), place="test"), limit=5)
        assert doctor is not None, login
        self.doctor: PostgresConnection = doctor
        self._open.push_async_callback(doctor.close)
        version = await self.admin.fetchval("SELECT current_setting('server_version_num')::int")
        self.slots = Slots(used=1, version=version)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def application(self, name: str, database: str = "postgres") -> "Session[Any]":
        settings = {"application_name": name}
        url = self._server.admin_url(database)
        made = await asyncpg.connect(url, server_settings=settings)
        self._open.push_async_callback(made.close)
        return made

    async def sessions(self) -> Sessions:
        return await Sessions.collect(self.doctor, self.slots, None)

    async def horizon(self) -> Horizon:
        before = self.doctor.statements
        found = await Horizon.collect(self.doctor, self.slots, None)
        assert self.doctor.statements == before + 1
        return found

    async def holders(self, kind: str) -> list[Holder]:
        return list((await self.horizon()).of(kind))

    async def pass_by(self, count: int) -> None:
        """Transactions with a number of their own."""
        for _ in range(count):
            await self.admin.execute("SELECT pg_current_xact_id()")


def test_a_session_holds_it_by_its_snapshot_or_by_its_number(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            reader, writer = await visit.application("report"), await visit.application("billing")
            idle = await visit.application("idle")
            await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            await writer.execute("BEGIN; SELECT pg_current_xact_id()")
            await idle.execute("BEGIN; SELECT 1")
            first = await visit.sessions()
            await visit.pass_by(5)
            last = await visit.sessions()
            horizon = await visit.horizon()
            found = {one.name: one for one in horizon.of("session")}
            assert set(found) == {"report", "billing"}
            assert {one.database for one in found.values()} == {horizon.database} == {"postgres"}
            assert found["report"].pid == reader.get_server_pid()
            assert found["report"].xids == found["billing"].xids == 6
            assert 0 <= (found["report"].seconds or 0.0) < 10
            assert set(horizon.here) == set(found.values())
            for one in found.values():
                assert stands_still(one, Looks(first, last, 5.0))
                assert not stands_still(one, None)

    run(look())


def test_snapshots_that_move_on_do_not_stand_still(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            reader = await visit.application("report")
            await reader.execute("BEGIN; DECLARE c CURSOR FOR SELECT 1")
            first = await visit.sessions()
            await visit.pass_by(3)
            await reader.execute("CLOSE c; DECLARE c CURSOR FOR SELECT 1")
            last = await visit.sessions()
            (holder,) = await visit.holders("session")
            assert not stands_still(holder, Looks(first, last, 5.0))
            assert stands_still(holder, Looks(last, last, 5.0))

    run(look())


def test_a_prepared_transaction_holds_it_without_a_session(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            await visit.admin.execute(
                "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'it''s 1'"
            )
            try:
                await visit.pass_by(3)
                (holder,) = await visit.holders("prepared")
                assert (holder.name, holder.user, holder.pid) == ("it's 1", "postgres", None)
                assert (holder.xids, holder.database) == (4, "postgres")
                assert 0 <= (holder.seconds or 0) < 10
                assert [one.name for one in (await visit.horizon()).here] == [holder.name]
            finally:
                await visit.admin.execute("ROLLBACK PREPARED 'it''s 1'")

    run(look())


def test_who_waits_for_a_prepared_transaction_knows_its_gid(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            await visit.admin.execute("CREATE TABLE held AS SELECT 1 AS id")
            await visit.admin.execute(
                "BEGIN; SAVEPOINT a; UPDATE held SET id = 2; PREPARE TRANSACTION 'it''s 2';"
                "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'another'"
            )
            waiter = await visit.application("waiter")
            waits = asyncio.create_task(waiter.execute("UPDATE held SET id = 3"))
            try:
                await asyncio.sleep(0.5)
                one = (await visit.sessions()).by_pid()[waiter.get_server_pid()]
                assert one.blocked_by == (0,)
                assert one.lock is not None
                assert one.lock.prepared == ("it's 2",)
            finally:
                await visit.admin.execute("ROLLBACK PREPARED 'it''s 2'")
                await visit.admin.execute("ROLLBACK PREPARED 'another'")
                await waits
                await visit.admin.execute("DROP TABLE held")

    run(look())


def test_a_logical_slot_holds_the_catalogues_only(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            await visit.admin.execute(
                "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')"
            )
            try:
                await visit.pass_by(3)
                horizon = await visit.horizon()
                (holder,) = horizon.of("slot")
                assert (holder.name, holder.active, holder.xids) == ("feed", False, None)
                assert holder.catalog_xids is not None
                assert holder.catalog_xids >= 3
                assert (holder.seconds is not None) == (visit.slots.version >= 170_000)
                assert horizon.here == ()
            finally:
                await visit.admin.execute("SELECT pg_drop_replication_slot('feed')")

    run(look())


def test_a_role_without_the_right_is_told_the_grant(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            blind = msgspec.structs.replace(visit.slots, sees_all=False, role="plain")
            with pytest.raises(Absent) as caught:
                await Horizon.collect(visit.doctor, blind, None)
            assert caught.value.absence.remedy == 'GRANT pg_monitor TO "plain";'

    run(look())


class Standby(PostgresServer):
    """A copy of a server that follows it, and tells it what its queries may still need."""

    def __init__(self, primary: PostgresServer, *options: str) -> None:
        super().__init__(
            primary.bin_dir,
            settings={"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"},
        )
        self._primary, self._options = primary, options

    def _prepare(self) -> None:
        command = [str(self.bin_dir / "pg_basebackup"), "-D", str(self.data), "-R", "-c", "fast"]
        command += ["-d", self._primary.admin_url(), *self._options]
        assert self._spawn(command).wait(20) == 0, self.log()


async def until(found: Callable[[], Coroutine[Any, Any, list[Holder]]]) -> Holder:
    for _ in range(100):
        holders = [one for one in await found() if one.xids]
        if holders:
            return holders[0]
        await asyncio.sleep(0.1)
    raise AssertionError("nobody holds the horizon")


@pytest.mark.parametrize("kind", ["standby", "slot"])
def test_a_standby_holds_it_through_its_slot_or_without_one(
    kind: str, make_postgres: Callable[..., PostgresServer]
) -> None:
    primary = make_postgres(15, settings={"wal_level": "replica"})
    options = ("-C", "-S", "second") if kind == "slot" else ()

    async def look(standby: PostgresServer) -> None:
        async with Visit(primary) as visit:
            report = await asyncpg.connect(standby.admin_url())
            try:
                await report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
                await visit.pass_by(5)
                holder = await until(lambda: visit.holders(kind))
                assert (holder.xids, holder.active, holder.seconds) == (5, True, None)
                assert holder.name == ("second" if kind == "slot" else "walreceiver")
                assert (await visit.horizon()).here == (holder,)
            finally:
                await report.close()

    with Standby(primary, *options) as standby:
        run(look(standby))


async def furnished(visit: Visit) -> dict[str, Maintained]:
    admin = visit.admin
    await admin.execute(
        "CREATE TABLE plain AS SELECT n FROM generate_series(1, 1000) n;"
        "CREATE TABLE tuned (n int) WITH (autovacuum_vacuum_threshold = 7,"
        " autovacuum_vacuum_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0,"
        " autovacuum_enabled = off);"
        "INSERT INTO tuned SELECT n FROM generate_series(1, 1000) n;"
        "CREATE TEMP TABLE own AS SELECT n FROM generate_series(1, 5000) n;"
    )
    # else VACUUM counts the rows, and the load is counted once more after it
    await admin.execute("SELECT pg_stat_force_next_flush()")
    await admin.execute("ANALYZE tuned")
    await admin.execute("VACUUM plain")
    await admin.execute("DELETE FROM plain WHERE n <= 300")
    await admin.execute("UPDATE tuned SET n = n + 1 WHERE n <= 400")
    await admin.execute("SELECT pg_stat_force_next_flush()")
    before = visit.doctor.statements
    activity = await TableActivity.collect(visit.doctor)
    assert visit.doctor.statements == before + 1
    assert activity.autovacuum
    assert (activity.max_workers, activity.workers) == (3, 0)
    assert activity.uptime > 0
    return {table.name: table for table in activity.tables}


def test_each_table_has_thresholds_of_its_own(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            try:
                tables = await furnished(visit)
            finally:
                await visit.admin.execute("DROP TABLE IF EXISTS plain, tuned")
            assert set(tables) == {"plain", "tuned"}
            plain, tuned = tables["plain"], tables["tuned"]
            assert (plain.place, plain.quoted) == ("public.plain", '"public"."plain"')
            assert (plain.rows, plain.dead) == (700, 300)
            assert (plain.vacuum_at, plain.analyze_at) == (250, 170)
            assert (plain.changed, plain.inserted) == (1300, 0)
            assert plain.dead_share == pytest.approx(0.3)
            assert plain.vacuumed is not None
            assert plain.analyzed is None
            assert (tuned.vacuum_at, tuned.analyze_at) == (507, 70)
            assert (tuned.dead, tuned.changed, tuned.inserted) == (400, 400, 1000)
            assert tuned.analyzed is not None
            assert tuned.vacuumed is None
            assert (plain.autovacuum, tuned.autovacuum) == (True, False)
            assert not tuned.vacuum_runs

    run(look())


def test_a_running_vacuum_is_seen_and_holds_nothing(server: PostgresServer) -> None:
    async def look() -> None:
        async with Visit(server) as visit:
            worker = await visit.application("cron")
            await worker.execute(
                "CREATE TABLE big WITH (autovacuum_enabled = off) AS"
                " SELECT n, repeat('x', 500) AS t FROM generate_series(1, 40000) n;"
                "SET vacuum_cost_delay = 50; SET vacuum_cost_limit = 1;"
            )
            vacuum = asyncio.create_task(worker.execute("VACUUM big"))
            try:
                for _ in range(50):
                    activity = await TableActivity.collect(visit.doctor)
                    (table,) = [one for one in activity.tables if one.name == "big"]
                    if table.vacuum_runs:
                        break
                    await asyncio.sleep(0.05)
                assert table.vacuum_runs
                assert await visit.holders("session") == []
            finally:
                await visit.admin.execute(
                    "SELECT pg_cancel_backend($1::int)".replace("$1", str(worker.get_server_pid()))
                )
                with pytest.raises(asyncpg.QueryCanceledError):
                    await vacuum
                await visit.admin.execute("DROP TABLE big")

    run(look())
