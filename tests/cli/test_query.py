"""``query``: one statement's plan in the terminal, and every way in which there is none."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.backends.statement_load import SETTINGS, furnish
from tests.conftest import POSTGRES
from tests.safety.client import Client
from tests.safety.tool import Ran, environment, run

from backend_doctor.demo.servers import PostgresServer

_SLOW = "SELECT * FROM orders WHERE customer_id = $1 AND note <> 'cnr-secret' LIMIT 20"
_VISITS = """
CREATE TABLE visits (id serial PRIMARY KEY, place int);
INSERT INTO visits (place) SELECT g % 3000 FROM generate_series(1, 30000) AS g;
ANALYZE visits;
"""
_LOGGED = {**SETTINGS, "log_statement": "none"}


@pytest.fixture(scope="module", params=[18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(POSTGRES[request.param](), settings=_LOGGED) as running:
        furnish(running)
        with Client(running.admin_url("shop")) as admin:
            admin.do("CREATE ROLE doctor LOGIN; GRANT pg_monitor, pg_read_all_data TO doctor")
            admin.do("CREATE ROLE blind LOGIN; GRANT pg_monitor TO blind")
        yield running


def query(server: PostgresServer, *arguments: str, user: str = "doctor", **more: str) -> Ran:
    url = server.url(user, None, "shop")
    return run("query", *arguments, "-t", "env:DB", DB=url, COLUMNS="80", **more)


def flat(ran: Ran) -> str:
    return " ".join(ran.out.split())


def test_a_missing_index_is_drawn_marked_and_cured(server: PostgresServer) -> None:
    ran = query(server, "SELECT count(*) FROM orders WHERE customer_id = 77", "--analyze")
    assert ran.code == 1, ran.out + ran.err
    plan = ran.out.split("backend-doctor ")[0].splitlines()
    assert max(map(len, plan)) <= 80
    (marked, *_) = [line for line in plan if line.startswith("!")]
    assert "Seq Scan on orders" in marked
    assert "of the cost" in marked
    assert "10 rows, 10 expected" in ran.out
    assert "299,990 rows thrown away" in ran.out
    assert "query.missing_index (certain)" in ran.out
    assert 'CREATE INDEX CONCURRENTLY "orders_customer_id_idx"' in ran.out
    assert "it was run once, and rolled back" in ran.out
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("version", [16, 17])
def test_versions_between_without_statement_statistics(
    version: int, request: pytest.FixtureRequest
) -> None:
    shared: PostgresServer = request.getfixturevalue(f"postgres{version}")
    with Client(shared.admin_url()) as admin:
        admin.do("CREATE DATABASE shop")
        try:
            with Client(shared.admin_url("shop")) as owner:
                owner.do(_VISITS)
            text = "SELECT count(*) FROM visits WHERE place = $1"
            ran = query(shared, text, "--format", "json", user="postgres")
            run_once = query(shared, text.replace("$1", "77"), "--analyze", user="postgres")
        finally:
            admin.do("DROP DATABASE shop WITH (FORCE)")
    values = [plan["values"] for plan in ran.report["query"]["planned"]["plans"]]
    assert values[:2] == ["generic", "common"]
    assert (ran.code, ran.causes()) == (1, {"query.missing_index"})
    assert "query.missing_index (certain)" in run_once.out
    assert "10 rows, 10 expected" in run_once.out
    assert "29,990 rows thrown away" in run_once.out


def test_placeholders_get_generic_and_custom_plans(server: PostgresServer) -> None:
    ran = query(server, _SLOW)
    assert ran.code in (0, 1), ran.out
    assert "Plan for any values" in ran.out
    assert "nothing was run" in flat(ran)


def test_a_change_is_planned_as_the_select_of_its_rows(server: PostgresServer) -> None:
    ran = query(server, "UPDATE orders SET status = $1 WHERE customer_id = $2", "--analyze")
    assert ran.code == 1, ran.out
    assert "SELECT of the rows that it changes" in flat(ran)
    assert "not run: it changes data" in flat(ran)
    assert "Gather" not in ran.out


def test_a_sound_plan_is_ok(server: PostgresServer) -> None:
    ran = query(server, "SELECT * FROM orders WHERE id = 5")
    assert ran.code == 0, ran.out
    assert "HEALTHY" in ran.out


def test_json_holds_the_plans_and_the_text_as_typed(server: PostgresServer) -> None:
    ran = query(server, _SLOW, "--format", "json")
    asked = ran.report["query"]
    assert asked["text"] == _SLOW
    masked = json.dumps({**asked, "text": ""})
    assert "cnr-secret" not in masked
    assert {"generic"} <= {plan["values"] for plan in asked["planned"]["plans"]}
    assert asked["planned"]["plans"][0]["tree"]["kind"]
    assert ran.report["exit_code"] == ran.code


def test_standard_input_ascii_and_narrow(server: PostgresServer) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "backend_doctor", "query", "-", "-t", "env:DB"],
        input="SELECT o.id FROM orders o JOIN colours c ON c.id = o.customer_id\n;\n",
        env=environment(DB=server.admin_url("shop"), COLUMNS="60", PYTHONIOENCODING="ascii"),
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stderr
    assert ran.stdout.isascii()
    assert "`- " in ran.stdout
    plan = ran.stdout.split("backend-doctor ")[0].splitlines()
    assert max(map(len, plan)) <= 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT * FROM orders WHERE idd = 5", 'column "idd" does not exist'),
        ("SELECT * FROM orders WHERE idd = 5", "(at character 28: idd = 5)"),
        ("SELECT * FROM orders WHERE id = 'abc'", 'invalid input syntax for type integer: "abc"'),
        ("SELECT * FROM orders WHERE", "syntax error at end of input"),
        ("SELECT * FROM nope", 'relation "nope" does not exist (at character 15: nope)'),
        ("SELECT * FROM order", 'syntax error at or near "order" (at character 15: order)'),
        ("UPDATE orders o SET id = 1 WHERE o.idd = $1", "(at character 34: o.idd = $1)"),
        ("SELECT pg_sleep(9)", "It has no plan: it reads no table of this database."),
        ("SELECT * FROM pg_stat_activity", "only the server's own catalogue"),
        ("SELEC 1", "it is no SELECT, UPDATE or DELETE"),
        ("INSERT INTO orders VALUES (1)", "it inserts rows"),
        ("SELECT recorded(5) FROM orders", "calls the function recorded, which is not built in"),
        ("SELECT 1; SELECT 2", "more than one statement"),
    ],
)
def test_what_has_no_plan_says_why_and_ends_with_3(
    server: PostgresServer, text: str, said: str
) -> None:
    ran = query(server, text)
    assert ran.code == 3
    assert said in flat(ran), ran.out


def test_an_offset_in_the_text_is_told_with_and_without_a_run(server: PostgresServer) -> None:
    text = "SELECT * FROM orders ORDER BY id OFFSET 200000 LIMIT 20"
    ran = query(server, text)
    assert ran.code == 1, ran.out
    assert "query.deep_offset (likely)" in ran.out
    assert "a call reads 200,020 rows to return 20" in flat(ran)
    ran = query(server, text, "--analyze")
    assert "query.deep_offset (certain)" in ran.out
    assert "its run touched" in flat(ran)
    assert "touches 0 blocks" not in flat(ran)


def test_placeholders_of_drivers_are_numbered(server: PostgresServer) -> None:
    ran = query(server, "SELECT * FROM orders WHERE id = %s AND note LIKE %(note)s LIMIT %s")
    assert ran.code == 0, ran.out + ran.err
    assert "WHERE id = $1 AND note LIKE $2 LIMIT $3" in flat(ran)
    ran = query(server, "SELECT * FROM orders WHERE id = %s AND note = $1")
    assert ran.code == 3
    assert "Write $1, $2 instead of %s" in ran.err


def test_a_run_that_a_limit_ends_early_is_no_misestimate(server: PostgresServer) -> None:
    ran = query(server, "SELECT * FROM orders WHERE status = 'done' LIMIT 40", "--analyze")
    assert ran.code == 0, ran.out
    assert "(may have stopped early)" in ran.out
    assert "x off" not in ran.out


def test_the_evidence_names_the_plan_it_comes_from(server: PostgresServer) -> None:
    ran = query(server, "SELECT count(*) FROM orders WHERE customer_id = $1")
    assert "(estimated by its plan for" in flat(ran)
    assert "query.missing_index (likely)" in ran.out


def test_a_missing_right_names_the_grant(server: PostgresServer) -> None:
    ran = query(server, "SELECT * FROM orders", user="blind")
    assert ran.code == 3
    assert 'GRANT pg_read_all_data TO "blind";' in ran.out


def test_an_unreachable_server_is_critical() -> None:
    ran = run("query", "SELECT 1 FROM orders", "-t", "postgresql://doctor@127.0.0.1:1/shop")
    assert ran.code == 2
    assert "reach.refused" in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("query", " ; ", "-t", "env:DB"), "no statement given"),
        (("query", "SELECT 1", "-t", "env:DB", "-t", "env:OTHER"), "more than one"),
        (("query", "SELECT 1", "-t", "env:CACHE"), "none is configured or named"),
        (("query", "SELECT 1", "-t", "nobody"), "no configuration"),
    ],
)
def test_bad_input_gets_one_clear_message(arguments: tuple[str, ...], said: str) -> None:
    url = "postgresql://doctor@127.0.0.1:1/shop"
    ran = run(*arguments, DB=url, OTHER=url.replace("shop", "other"), CACHE="redis://127.0.0.1:1/0")
    assert ran.code == 3
    assert said in ran.err
    assert ran.err.count("\n") <= 3
