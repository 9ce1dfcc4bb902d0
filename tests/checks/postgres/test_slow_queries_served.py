"""postgres.slow_queries on real servers, under load."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.backends.statement_load import SETTINGS, Load, furnish
from tests.checks.postgres.slow_statements import MISSING
from tests.conftest import POSTGRES
from tests.safety.client import Client
from tests.safety.tool import check

from backend_doctor.demo.servers import PostgresServer


@pytest.fixture(scope="module", params=[15, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(POSTGRES[request.param](), settings=SETTINGS) as running:
        furnish(running)
        with Client(running.admin_url("shop")) as admin:
            admin.do("CREATE ROLE watcher LOGIN; GRANT pg_monitor, pg_read_all_data TO watcher")
            admin.do("CREATE ROLE blind LOGIN; GRANT pg_monitor TO blind")
        yield running


def said(server: PostgresServer, *options: str, user: str = "watcher") -> dict[str, Any]:
    ran = check(
        *("--only", "postgres.slow_queries", "--window", "0.8", *options),
        DATABASE_URL=server.url(user, None, "shop"),
    )
    return ran.finding("postgres.slow_queries")


SICK = [
    ("SELECT * FROM orders WHERE customer_id = $1", lambda n: (n,)),
    ("SELECT * FROM orders WHERE customer_id = $1 ORDER BY id LIMIT 20", lambda n: (n,)),
    ("SELECT count(*) FROM orders WHERE customer_id = $1 AND status = $2", lambda n: (n, "open")),
]


@pytest.mark.parametrize("number", range(len(SICK)))
def test_a_dropped_index_under_load_is_named(server: PostgresServer, number: int) -> None:
    sql, arguments = SICK[number]
    with Load(server, sql, arguments):
        finding = said(server)
    assert finding["cause"]["label"] == MISSING, finding
    keys = {item["key"]: item["value"] for item in finding["evidence"]}
    assert keys["table"] == "public.orders"
    assert keys["rows"] == pytest.approx(300_000, rel=0.05)
    assert keys["removed_rows"] > 295_000
    if number:
        return
    (create,) = [r["command"] for r in finding["remedies"] if r["step"] == "cure"]
    with Client(server.admin_url("shop")) as admin:
        # as psql sends them, one by one
        for command in create.split(";\n"):
            admin.do(command)
        try:
            with Load(server, sql, arguments):
                assert said(server)["status"] == "ok"
        finally:
            admin.do('DROP INDEX "orders_customer_id_idx"')


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [
        ("SELECT name FROM colours WHERE id = $1", lambda n: (n % 200,)),
        ("SELECT id FROM orders WHERE status = $1", lambda _: ("done",)),
        ("SELECT count(*) FROM orders WHERE status = $1", lambda _: ("done",)),
        ("SELECT count(*) FROM orders WHERE id BETWEEN $1 AND $2", lambda _: (1000, 180_000)),
    ],
    ids=["200 rows", "60 % returned", "60 % counted", "60 % of a range"],
)
def test_healthy_twins_under_load(server: PostgresServer, sql: str, arguments: Any) -> None:
    with Load(server, sql, arguments):
        finding = said(server)
    assert finding["status"] == "ok", finding


def test_slow_and_without_a_plan_says_why(server: PostgresServer) -> None:
    strange = "SELECT count(*) FROM orders WHERE customer_id = recorded($1)"
    with Client(server.admin_url("shop")) as oracle, Load(server, strange, lambda n: (n,)):
        before = oracle.ask("SELECT last_value FROM calls")
        finding = said(server, "--analyze", "-v")
    assert before > 0
    words = finding["summary"] + " ".join(finding["notes"])
    assert "recorded, which is not built in" in words
    with Load(server, SICK[0][0], SICK[0][1], database="other"):
        finding = said(server)
    assert "runs in database other" in finding["summary"] + " ".join(finding["notes"])


def test_analyze_measures(server: PostgresServer) -> None:
    with Load(server, SICK[1][0], SICK[1][1], pause=0.02):
        finding = said(server, "--analyze")
    assert finding["cause"]["label"] == MISSING
    assert finding["cause"]["confidence"] == "certain"
    (removed,) = [item for item in finding["evidence"] if item["key"] == "removed_rows"]
    assert removed["source"] == "EXPLAIN (ANALYZE)"


def test_a_role_that_may_not_read_is_told_the_grant(server: PostgresServer) -> None:
    with Load(server, SICK[0][0], SICK[0][1]):
        finding = said(server, user="blind")
    assert (finding["status"], finding["cause"]) == ("unknown", None)
    (remedy,) = finding["remedies"]
    assert remedy["command"] == 'GRANT pg_read_all_data TO "blind";'
