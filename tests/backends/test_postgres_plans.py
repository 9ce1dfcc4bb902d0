"""Statements and plans on real servers: what is planned, what is not and why, what is left."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncpg
import pytest
from tests.backends.statement_load import SETTINGS, furnish
from tests.conftest import POSTGRES
from tests.safety.client import Client
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.backends.postgres.connection import PostgresConnection, connect
from backend_doctor.backends.postgres.plans import candidates
from backend_doctor.backends.postgres.plans.candidates import schemas_in
from backend_doctor.backends.postgres.plans.explained import Plan
from backend_doctor.backends.postgres.plans.hypothetical import prove
from backend_doctor.backends.postgres.plans.indexes import Proposal
from backend_doctor.backends.postgres.plans.planned import Proof
from backend_doctor.backends.postgres.plans.plans import PlannedStatement, Plans
from backend_doctor.backends.postgres.plans.tables import read_tables
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.statements import (
    Statements,
    StatementStatistics,
    window_loads,
)
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import Absent, Instance, Looks

Statement = tuple[str, tuple[object, ...]]
NOBODY = Looks(Sessions(sessions=()), Sessions(sessions=()), 0.001)


@pytest.fixture(scope="module", params=[15, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(POSTGRES[request.param](), settings=SETTINGS) as running:
        furnish(running)
        yield running


def instance(**settings: bool) -> Instance:
    return Instance(
        service="shop",
        backend="postgres",
        name="postgres",
        address="db",
        host="db",
        port=1,
        settings=dict(settings),
    )


async def doctor(url: str) -> PostgresConnection:
    login, connection = await connect(parse_url(url, place="test"), limit=5)
    assert connection is not None, login
    return connection


async def examined(
    server: PostgresServer,
    statements: list[Statement],
    *,
    url: str = "",
    database: str = "shop",
    user: str = "app",
    **settings: bool,
) -> tuple[Plans, PostgresConnection]:
    """Runs each statement between two looks, as often as makes it worth a plan."""
    application = await asyncpg.connect(server.url(user, None, database))
    connection = await doctor(url or server.admin_url("shop"))
    try:
        statistics = await StatementStatistics.collect(connection)
        first = await Statements.collect(connection, statistics)
        for sql, arguments in statements:
            for _ in range(3):
                await application.fetch(sql, *arguments)
        # as if they had been run within a moment: every one of them is a busy one
        looks = Looks(first, await Statements.collect(connection, statistics), 0.0001)
        plans = await Plans.collect(connection, statistics, looks, NOBODY, instance(**settings))
        return plans, connection
    finally:
        await application.close()
        await connection.close()


def only(plans: Plans) -> PlannedStatement:
    (planned,) = [one for one in plans.statements if "orders" in one.text and one.kind != "utility"]
    return planned


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_a_select_gets_generic_and_custom_plans_and_keeps_no_value(server: PostgresServer) -> None:
    statement = (
        "SELECT * FROM orders WHERE customer_id = $1 AND note <> 'secret' ORDER BY id LIMIT 20"
    )
    plans, connection = run(examined(server, [(statement, (5,))]))
    planned = only(plans)
    assert planned.refusal == ""
    # the search path was the application's
    assert [plan.values for plan in planned.plans] == ["generic"]
    statement = "SELECT * FROM orders WHERE customer_id = $1 ORDER BY created LIMIT 20"
    plans, connection = run(examined(server, [(statement, (5,))]))
    planned = only(plans)
    assert [plan.values for plan in planned.plans] == ["generic", "common", "rare"]
    for plan in planned.plans:
        (scan,) = plan.scans
        assert (scan.schema, scan.table, scan.equal) == ("public", "orders", ("customer_id",))
        assert 1 <= scan.rows < 300
        assert scan.removed is None
        assert "5" not in scan.filter
    (table,) = plans.tables
    assert table.rows == pytest.approx(300_000, rel=0.05)
    assert [index.columns for index in table.indexes] == [("id",)]
    assert connection.statements <= 15


def test_nothing_of_it_is_left_on_the_server(
    server: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(server, pool_size=1)
    good = ("SELECT count(*) FROM orders WHERE customer_id = $1", (5,))
    bad = ("SELECT extract(epoch FROM created) FROM orders WHERE status = $1", ("none",))
    url = pooler.url(database="shop")
    plans, connection = run(examined(server, [good, bad], url=url))
    assert connection.pooled
    assert any(one.plans for one in plans.statements)

    async def left() -> Any:
        after = await asyncpg.connect(url, statement_cache_size=0)
        try:
            return await after.fetchrow(
                "SELECT (SELECT count(*) FROM pg_prepared_statements WHERE name <> '') AS prepared,"
                " current_setting('plan_cache_mode') AS mode,"
                " current_setting('search_path') AS path"
            )
        finally:
            await after.close()

    assert dict(run(left())) == {"prepared": 0, "mode": "auto", "path": '"$user", public'}


REFUSED = [
    ("SELECT * FROM orders WHERE customer_id = recorded($1)", (5,), "function recorded"),
    ("UPDATE orders SET note = (SELECT name FROM colours LIMIT 1) WHERE id = $1", (0,), "subquery"),
    ("SELECT * FROM orders WHERE customer_id = $1 FOR UPDATE", (5,), "locks rows"),
    ("WITH d AS (DELETE FROM orders WHERE id < $1 RETURNING id) TABLE d", (0,), "changes data"),
]


@pytest.mark.parametrize(
    ("sql", "arguments", "reason"), REFUSED, ids=["call", "update", "row lock", "deleting WITH"]
)
def test_what_is_not_planned_says_why(
    server: PostgresServer, sql: str, arguments: tuple[object, ...], reason: str
) -> None:
    plans, _ = run(examined(server, [(sql, arguments)], analyze=True))
    planned = only(plans)
    assert planned.plans == ()
    assert reason in planned.refusal


async def _calls(server: PostgresServer, *prepare: str) -> int:
    admin = await asyncpg.connect(server.admin_url("shop"))
    try:
        for sql in prepare:
            await admin.execute(sql)
        return int(await admin.fetchval("SELECT last_value FROM calls"))
    finally:
        await admin.close()


HIDDEN = {
    "an operator": (
        "CREATE OPERATOR public.=~ (leftarg = int, rightarg = int, function = same_number)",
        "SELECT * FROM orders WHERE customer_id =~ $1 AND id > 0",
        "DROP OPERATOR public.=~ (int, int)",
    ),
    "a view": (
        "CREATE VIEW wanted AS SELECT * FROM orders WHERE customer_id = recorded(5)",
        "SELECT * FROM wanted AS orders WHERE id > $1",
        "DROP VIEW wanted",
    ),
    "an index": (
        "SET max_parallel_maintenance_workers = 0;"
        "CREATE INDEX hidden ON orders (id) WHERE customer_id = recorded(5)",
        "SELECT * FROM orders WHERE customer_id = $1",
        "DROP INDEX hidden",
    ),
    "a policy": (
        "CREATE POLICY mine ON orders USING (customer_id = recorded(5));"
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        "SELECT count(*) FROM orders WHERE customer_id = $1",
        "ALTER TABLE orders DISABLE ROW LEVEL SECURITY; DROP POLICY mine ON orders",
    ),
    "an overload": (
        "CREATE FUNCTION public.abs(smallint) RETURNS int IMMUTABLE LANGUAGE plpgsql AS "
        "'BEGIN PERFORM nextval(''public.calls''); RETURN 1; END'",
        "SELECT * FROM orders WHERE customer_id = abs($1::smallint)",
        "DROP FUNCTION public.abs(smallint)",
    ),
    "a row's attribute": (
        "CREATE FUNCTION hidden(orders) RETURNS int STABLE LANGUAGE plpgsql AS "
        "'BEGIN PERFORM nextval(''public.calls''); RETURN 1; END'",
        "SELECT count(*) FROM orders o WHERE customer_id = $1 AND o.hidden = 1",
        "DROP FUNCTION hidden(orders)",
    ),
}
_SAME = (
    "CREATE OR REPLACE FUNCTION same_number(int, int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql "
    "AS 'BEGIN PERFORM nextval(''public.calls''); RETURN $1 = $2; END'"
)


@pytest.mark.parametrize("way", HIDDEN)
def test_no_function_of_a_user_runs_whatever_hides_it(server: PostgresServer, way: str) -> None:
    make, sql, drop = HIDDEN[way]

    async def work() -> tuple[Plans, int, int]:
        await _calls(server, _SAME, make, "GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
        try:
            application = await asyncpg.connect(server.url("app", None, "shop"))
            connection = await doctor(server.admin_url("shop"))
            statistics = await StatementStatistics.collect(connection)
            first = await Statements.collect(connection, statistics)
            await application.fetch(sql, 5)
            before = await _calls(server)
            looks = Looks(first, await Statements.collect(connection, statistics), 0.0001)
            plans = await Plans.collect(
                connection, statistics, looks, NOBODY, instance(analyze=True)
            )
            await application.close()
            await connection.close()
            return plans, before, await _calls(server)
        finally:
            await _calls(server, drop)

    plans, before, after = run(work())
    assert after == before
    planned = only(plans)
    assert planned.plans == ()
    assert "not built in" in planned.refusal or "row-level security" in planned.refusal


def test_a_statement_of_another_database_says_so(server: PostgresServer) -> None:
    statement = ("SELECT * FROM orders WHERE customer_id = $1", (5,))
    plans, _ = run(examined(server, [statement], database="other"))
    planned = only(plans)
    assert planned.plans == ()
    assert "runs in database other" in planned.refusal


def test_the_connected_database_needs_the_extension(server: PostgresServer) -> None:
    async def work() -> None:
        connection = await doctor(server.admin_url("postgres"))
        statistics = await StatementStatistics.collect(connection)
        assert statistics.absence is not None
        assert statistics.absence.remedy.startswith("CREATE EXTENSION pg_stat_statements;")
        with pytest.raises(Absent):
            await Statements.collect(connection, statistics)
        await connection.close()

    run(work())


def test_the_extension_may_live_in_any_schema(server: PostgresServer) -> None:
    move = 'CREATE SCHEMA "wa""tch"; ALTER EXTENSION pg_stat_statements SET SCHEMA "wa""tch"'
    back = 'ALTER EXTENSION pg_stat_statements SET SCHEMA public; DROP SCHEMA "wa""tch"'
    run(_calls(server, move))
    try:
        plans, _ = run(examined(server, [("SELECT * FROM orders WHERE customer_id = $1", (5,))]))
    finally:
        run(_calls(server, back))
    assert only(plans).plans


def test_the_plan_is_made_under_the_applications_search_path(server: PostgresServer) -> None:
    make = (
        "CREATE SCHEMA own; CREATE TABLE own.orders AS SELECT * FROM public.orders LIMIT 50;"
        "GRANT USAGE ON SCHEMA own TO app; GRANT SELECT ON own.orders TO app;"
        "ALTER ROLE app IN DATABASE shop SET search_path = own, public"
    )
    drop = "ALTER ROLE app IN DATABASE shop RESET search_path; DROP SCHEMA own CASCADE"
    run(_calls(server, make))
    try:
        plans, _ = run(examined(server, [("SELECT note FROM orders WHERE customer_id = $1", (5,))]))
    finally:
        run(_calls(server, drop))
    (scan, *_) = only(plans).plans[0].scans
    assert scan.schema == "own"


def test_analyze_runs_a_plain_select_and_refuses_the_rest(server: PostgresServer) -> None:
    plain = ("SELECT * FROM orders WHERE customer_id = $1", (5,))
    planned = only(run(examined(server, [plain], analyze=True))[0])
    assert planned.not_run == ""
    run_plan = planned.plans[-1]
    assert run_plan.values == "analyzed"
    assert run_plan.milliseconds is not None
    assert run_plan.scans[0].removed == pytest.approx(299_990, abs=20)

    volatile = ("SELECT * FROM orders WHERE customer_id = $1 AND random() < 2", (5,))
    assert (
        "random, which is volatile"
        in only(run(examined(server, [volatile], analyze=True))[0]).not_run
    )
    slow = ("SELECT count(*), pg_sleep(0.8) FROM orders WHERE customer_id = $1", (5,))
    assert "pg_sleep" in only(run(examined(server, [slow], analyze=True))[0]).not_run
    silent = only(run(examined(server, [plain]))[0])
    assert [plan.values for plan in silent.plans] == ["generic", "common", "rare"]


def test_without_the_right_to_read_the_grant_is_named(server: PostgresServer) -> None:
    run(_calls(server, 'CREATE ROLE "wat""cher" LOGIN', 'GRANT pg_monitor TO "wat""cher"'))
    statement = ("SELECT * FROM orders WHERE customer_id = $1", (5,))
    url = server.url('wat"cher', None, "shop")
    try:
        plans, _ = run(examined(server, [statement], url=url))
        assert only(plans).blind
        assert plans.remedy == 'GRANT pg_read_all_data TO "wat""cher";'
        run(_calls(server, plans.remedy))
        plans, _ = run(examined(server, [statement], url=url))
        assert [plan.values for plan in only(plans).plans] == ["generic", "common", "rare"]
    finally:
        run(_calls(server, 'DROP ROLE "wat""cher"'))


def test_a_locked_table_is_not_waited_for(server: PostgresServer) -> None:
    async def work() -> Plans:
        application = await asyncpg.connect(server.url("app", None, "shop"))
        connection = await doctor(server.admin_url("shop"))
        statistics = await StatementStatistics.collect(connection)
        first = await Statements.collect(connection, statistics)
        await application.fetch("SELECT * FROM orders WHERE customer_id = $1", 5)
        admin = await asyncpg.connect(server.admin_url("shop"))
        await admin.execute("BEGIN; LOCK TABLE orders")
        looks = Looks(first, await Statements.collect(connection, statistics), 0.0001)
        plans = await Plans.collect(connection, statistics, looks, NOBODY, instance())
        seen = (await Sessions.collect(connection, Slots(used=1), None)).by_pid()
        holder = admin.get_server_pid()
        for session in (application, admin, connection):
            await session.close()
        assert [one.pid for one in seen.values() if one.excludes] == [holder]
        assert seen[holder].excludes == ("public.orders",)
        return plans

    planned = only(run(work()))
    assert "locked by another session" in planned.refusal
    assert planned.locked == ("orders",)


def test_a_reset_is_another_epoch_and_our_own_statements_are_left_out(
    server: PostgresServer,
) -> None:
    async def work() -> tuple[Statements, Statements]:
        await _calls(server, "DROP ROLE IF EXISTS alone", "CREATE ROLE alone LOGIN")
        await _calls(server, "GRANT pg_monitor TO alone")
        connection = await doctor(server.url("alone", None, "shop"))
        statistics = await StatementStatistics.collect(connection)
        first = await Statements.collect(connection, statistics)
        second = await Statements.collect(connection, statistics)
        loads = window_loads(Looks(first, second, 1.0))
        assert not [load for load in loads if load.role == "alone"]
        await _calls(server, "SELECT pg_stat_statements_reset()")
        third = await Statements.collect(connection, statistics)
        await connection.close()
        await _calls(server, "DROP ROLE alone")
        return second, third

    second, third = run(work())
    assert second.epoch != third.epoch


def test_search_paths_are_read_as_the_server_reads_them() -> None:
    assert schemas_in('"$user", public, "My ""Own"",x", Other', "app") == (
        "app",
        "public",
        'My "Own",x',
        "other",
    )
    assert schemas_in("", "app") == ()


def test_a_change_is_planned_as_the_select_of_its_rows(server: PostgresServer) -> None:
    change = ("UPDATE orders SET note = note WHERE customer_id = $1", (5,))
    planned = only(run(examined(server, [change], analyze=True))[0])
    assert (planned.refusal, planned.kind, planned.as_select) == ("", "change", True)
    assert planned.not_run == "not run: it changes data"
    assert [plan.values for plan in planned.plans] == ["generic", "common", "rare"]
    for plan in planned.plans:
        (scan,) = plan.scans
        assert (scan.table, scan.equal) == ("orders", ("customer_id",))
        assert "Gather" not in plan.outline


def test_an_index_is_proven_on_the_planner_and_forgotten(server: PostgresServer) -> None:
    slow = ("SELECT * FROM orders WHERE customer_id = $1", (5,))
    proof = only(run(examined(server, [slow]))[0]).proof
    assert proof is not None
    assert (proof.table, proof.columns) == ("public.orders", ("customer_id",))
    assert proof.reason == "HypoPG is not installed in this database"
    assert proof.remedy == "CREATE EXTENSION hypopg;"
    assert not proof.proven
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'"
    with Client(server.admin_url("shop")) as admin:
        if not admin.ask(available):
            return
        admin.do('CREATE SCHEMA "hy""po"; CREATE EXTENSION hypopg SCHEMA "hy""po"')
    try:
        plans, connection = run(examined(server, [slow]))
        proof = only(plans).proof
        assert proof is not None
        assert (proof.reason, proof.values, proof.chosen) == ("", "common", True)
        assert proof.proven
        assert proof.cost_after < 300 < 5000 < proof.cost_before
        assert proof.saving > 0.9
        # what CREATE INDEX made of it: 2.6 MB, by HypoPG's estimate more
        assert 250 <= proof.pages <= 1500
        assert connection.statements <= 13
    finally:
        run(_calls(server, "DROP EXTENSION hypopg", 'DROP SCHEMA "hy""po"'))


def test_a_trial_sees_no_index_of_the_trial_before(server: PostgresServer) -> None:
    with Client(server.admin_url("shop")) as admin:
        if not admin.ask("SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'"):
            return
        admin.do("CREATE EXTENSION hypopg")

    async def work() -> tuple[Proof, list[dict[str, Any]]]:
        connection = await doctor(server.admin_url("shop"))
        tables, _, schema = await read_tables(connection, [("public", "orders")])
        (table,) = tables
        before = Plan(values="common", cost=9.0, outline="", scans=())

        async def fails() -> tuple[float, str]:
            raise Absent("the time for plans was used up")

        proof = await prove(connection, schema, Proposal(table, ("status",)), before, fails)
        await prove(connection, schema, Proposal(table, ("note",)), before, fails)
        known = await connection.fetch("SELECT indexname AS name FROM public.hypopg()")
        await connection.close()
        return proof, known

    try:
        proof, (known,) = run(work())
    finally:
        run(_calls(server, "DROP EXTENSION hypopg"))
    assert "the time for plans was used up" in proof.reason
    assert not proof.proven
    assert known["name"].endswith("orders_note")


def test_what_runs_in_both_looks_is_planned_with_its_own_values(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "LEAST_SECONDS", 0.4)

    async def work() -> tuple[Plans, Plans]:
        connection = await doctor(server.admin_url("shop"))
        statistics = await StatementStatistics.collect(connection)
        first = await Sessions.collect(connection, Slots(used=1), None)
        await asyncio.sleep(0.6)
        looks = Looks(first, await Sessions.collect(connection, Slots(used=1), None), 0.6)
        none, asked = Statements(counted=()), instance(analyze=True)
        counted = await Plans.collect(connection, statistics, Looks(none, none, 1.0), looks, asked)
        uncounted = await Plans.collect(connection, statistics, None, looks, asked)
        await connection.close()
        return counted, uncounted

    long = "SELECT count(*) FROM orders WHERE customer_id = 77 AND note = 'cnr' || pg_sleep(9)"
    cut = f"SELECT count(*) FROM orders WHERE pg_sleep(9) IS NULL --{'x' * 1100}"
    url = server.url("app", None, "shop")
    with Client(url) as one, Client(url) as other:
        one.start(long)
        other.start(cut)
        for plans in run(work()):
            (planned,) = [found for found in plans.statements if not found.refusal]
            assert planned.pids == (one.pid,)
            assert planned.seconds >= 0.4
            assert planned.query_id
            (plan,) = planned.plans
            (scan,) = plan.scans
            assert "customer_id" in scan.equal
            assert scan.rows < 100
            assert "pg_sleep" in planned.not_run
            assert "77" not in planned.text + scan.filter
            assert "cnr" not in str(plans)
            (refused,) = [found for found in plans.statements if found.refusal]
            assert "track_activity_query_size" in refused.refusal
