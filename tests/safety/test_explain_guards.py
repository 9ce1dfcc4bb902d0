"""No statement that could do harm is planned or run, whoever asks, and each is told why."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import POSTGRES
from tests.safety.client import Client
from tests.safety.hostile_statements import COMMANDS, HARMLESS, HOSTILE, HOUSE
from tests.safety.tool import run

from backend_doctor.backends.postgres.connection import connect
from backend_doctor.backends.postgres.plans import planner
from backend_doctor.backends.postgres.plans.asked import TEXT_SETTING, Asked
from backend_doctor.backends.postgres.plans.case import Case
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import Instance

_SETTINGS: dict[str, str | int] = {"autovacuum": "off", "max_connections": 20}
_TRACES = """
SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next_transaction,
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS advisory_locks,
       (SELECT count(*) FROM pg_largeobject_metadata) AS large_objects,
       (SELECT count(*) FROM pg_class) AS relations,
       (SELECT sum(remaining) FROM stock) AS stock,
       (SELECT count(*) FROM fires) AS fires,
       (SELECT last_value::text || is_called FROM numbers) AS number,
       (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim') AS victims
"""
_OWN_SESSION = """
SELECT current_setting('search_path') AS path, current_setting('plan_cache_mode') AS mode,
       current_setting('default_transaction_read_only') AS read_only,
       (SELECT count(*) FROM pg_prepared_statements
         WHERE name NOT LIKE ALL ('{"", "backend\\_doctor\\_read\\_%"}')) AS prepared
"""


@pytest.fixture(scope="module", params=[15, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(POSTGRES[request.param](), settings=_SETTINGS) as running:
        with Client(running.admin_url()) as admin:
            admin.do("CREATE DATABASE shop")
            admin.do("CREATE ROLE doctor LOGIN")
            admin.do("GRANT pg_monitor, pg_read_all_data TO doctor")
        with Client(running.admin_url("shop")) as owner:
            owner.do(HOUSE)
        yield running


def asked(server: PostgresServer, user: str, *texts: str, analyze: bool = True) -> list[Asked]:
    """The texts one after the other in one session, which is left as it was."""

    async def work() -> list[Asked]:
        login, db = await connect(parse_url(server.url(user, None, "shop"), place="test"), limit=5)
        assert db is not None, login
        try:
            found = []
            for text in texts:
                settings: dict[str, Any] = {TEXT_SETTING: text, "analyze": analyze}
                instance = Instance(
                    service="shop", backend="postgres", name="postgres", address="db", host="db",
                    port=1, settings=settings,
                )  # fmt: skip
                found.append(await Asked.collect(db, instance))
            (left,) = await db.fetch(_OWN_SESSION)
            assert left == {"path": "pg_catalog", "mode": "auto", "read_only": "on", "prepared": 0}
            return found
        finally:
            await db.close()

    return asyncio.run(work())


def touched(server: PostgresServer) -> int:
    return server.log().count("TOUCHED")


@pytest.mark.parametrize("user", ["doctor", "postgres"])
def test_no_hostile_statement_is_run_or_leaves_a_trace(
    server: PostgresServer, user: str, tmp_path: Path
) -> None:
    assert len(HOSTILE) >= 60
    file = tmp_path / "stolen"
    tmp_path.chmod(0o777)
    texts = [text.replace("{file}", str(file)) for text in HOSTILE]
    with (
        Client(server.admin_url("shop")) as oracle,
        Client(server.url("doctor", None, "shop"), "victim") as victim,
    ):
        oracle.ask("SELECT public.liar(5)")
        calls = touched(server)
        assert calls, "a trap that does not spring proves nothing"
        before = oracle.row(_TRACES)
        found = asked(server, user, *texts)
        assert oracle.row(_TRACES) == before
        assert victim.ask("SELECT 1") == 1
    assert touched(server) == calls
    assert not file.exists()
    for text, one in zip(texts, found, strict=True):
        assert "analyzed" not in {plan.values for plan in one.planned.plans}, text
        assert one.planned.refusal or one.planned.not_run, text
        assert not any(plan.changes for plan in one.planned.plans), text


def test_each_trap_springs_when_the_server_is_left_to_itself(server: PostgresServer) -> None:
    """The corpus is hostile in truth: a read-only transaction alone lets most of it through."""
    sprung = 0
    with Client(server.admin_url("shop")) as careless:
        for text in (one for one in HOSTILE if "liar" in one and one not in COMMANDS):
            before = touched(server)
            # some are refused; those that ran are counted
            with suppress(asyncpg.PostgresError):
                careless.do(f"BEGIN READ ONLY; SET LOCAL statement_timeout = 500; {text}")
            careless.do("ROLLBACK")
            sprung += touched(server) > before
    assert sprung >= 15


def test_what_is_harmless_is_planned_and_run(server: PostgresServer) -> None:
    for text, one in zip(HARMLESS, asked(server, "doctor", *HARMLESS), strict=True):
        assert (one.planned.refusal, one.planned.not_run) == ("", ""), text
        assert one.planned.plans[-1].values == "analyzed", text
    for one in asked(server, "doctor", *HARMLESS, analyze=False):
        assert [plan.values for plan in one.planned.plans] == ["generic"]


def test_what_would_cost_too_much_is_not_run(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "SELECT count(*) FROM orders a, orders b, orders c"
    (one,) = asked(server, "doctor", text)
    assert "expects a cost of" in one.planned.not_run
    assert [plan.values for plan in one.planned.plans] == ["generic"]
    cost = one.planned.plans[0].cost
    assert cost > planner.MOST_COST
    monkeypatch.setattr(planner, "MOST_COST", cost + 1)
    (allowed,) = asked(server, "doctor", text)
    assert "expects a cost of" not in allowed.planned.not_run


def test_the_command_refuses_with_the_reason(server: PostgresServer) -> None:
    calls = touched(server)
    for text, reason in (
        ("SELECT * FROM orders WHERE customer_id = liar(5)", "liar, which is not built in"),
        ("SELECT * FROM orders; COMMIT; CREATE TABLE x ()", "more than one statement"),
        ("SELECT *, pg_advisory_lock(5) FROM orders", "pg_advisory_lock, which is volatile"),
    ):
        ran = run("query", text, "-t", "env:DB", "--analyze", DB=server.admin_url("shop"))
        assert reason in " ".join(ran.out.split()), ran.out + ran.err
    assert touched(server) == calls


def test_what_takes_long_by_experience_is_not_run(server: PostgresServer) -> None:
    async def work(mean_ms: float) -> Case:
        login, db = await connect(parse_url(server.admin_url("shop"), place="test"), limit=5)
        assert db is not None, login
        case = Case("1", "shop", "app", mean_ms=mean_ms)
        case.read("SELECT * FROM orders", ("public",))
        await planner.Planner(db, analyze=True).plan([case])
        await db.close()
        return case

    refused, allowed = (asyncio.run(work(planner.MOST_MEAN_MS + more)) for more in (1, -1))
    assert "three times that would pass our statement_timeout" in refused.not_run
    assert [plan.values for plan in refused.plans] == ["generic"]
    assert [plan.values for plan in allowed.plans] == ["generic", "analyzed"]
