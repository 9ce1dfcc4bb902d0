"""What the server's own log says of us: one session, few statements, all of them our own."""

import importlib
import pkgutil
import re
from collections.abc import Callable

import pytest
from tests.backends.statement_load import SETTINGS, Load, furnish
from tests.safety.client import Client
from tests.safety.tool import check

from backend_doctor.backends import postgres
from backend_doctor.demo.servers import PostgresServer

MOST_STATEMENTS, MOST_FOR_A_PLAN = 25, 5
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d ", re.MULTILINE)
_STATEMENT = re.compile(r"LOG:  (?:statement|execute \S+): (.*)", re.DOTALL)
_UNCOUNTED = re.compile(
    r"BEGIN|COMMIT|ROLLBACK|SET LOCAL|SAVEPOINT|PREPARE|DEALLOCATE", re.IGNORECASE
)
# what stands around an application's text when its plan is asked for
_PLANNING = re.compile(
    r"COMMIT|BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY(; SET LOCAL \w+ = [^;]+)+"
    r"|SAVEPOINT prepared|ROLLBACK( TO SAVEPOINT prepared)?"
    r"|DEALLOCATE backend_doctor_plan_\d+|PREPARE backend_doctor_plan_\d+ AS SELECT .*"
    r"|EXPLAIN \(VERBOSE, FORMAT JSON\) EXECUTE backend_doctor_plan_\d+.*"
)
LOGGED: dict[str, str | int] = {
    "log_statement": "all",
    "log_connections": "on",
    "log_line_prefix": "%m [%p] <%a> ",
}


def flat(sql: str) -> str:
    return " ".join(sql.split())


def own_texts() -> set[str]:
    """Every SQL constant of the package."""
    found = set()
    for module in pkgutil.walk_packages(postgres.__path__, f"{postgres.__name__}."):
        names = vars(importlib.import_module(module.name))
        found |= {flat(text) for text in names.values() if isinstance(text, str)}
    return {text for text in found if re.match(r"(SELECT|WITH|BEGIN)\b", text)}


def own_texts_for(schema: str) -> set[str]:
    """The same, with the schema of an extension in its place."""
    return {text.replace("{schema}", schema) for text in own_texts()}


def logged(server: PostgresServer) -> list[str]:
    return _ENTRY.split(server.log())


def statements(server: PostgresServer) -> list[str]:
    """What our sessions ran, by the log."""
    ours = [entry for entry in logged(server) if "<backend-doctor>" in entry]
    return [flat(found.group(1)) for entry in ours if (found := _STATEMENT.search(entry))]


@pytest.mark.parametrize("version", [15, 16, 17, 18])
def test_one_session_with_few_statements_of_our_own(
    version: int, make_postgres: Callable[..., PostgresServer]
) -> None:
    server = make_postgres(version, settings=LOGGED)
    # a waiter makes the statements return what an idle server never does: lists of blockers
    with (
        Client(server.admin_url()) as holder,
        Client(server.admin_url(), "waiter") as waiter,
        Client(server.admin_url()) as oracle,
    ):
        holder.do("CREATE TABLE busy ()")
        holder.do("BEGIN; LOCK TABLE busy")
        waiting = waiter.start("SELECT count(*) FROM busy")
        ran = check("--window", "0.5", DATABASE_URL=server.admin_url())
        assert ran.code in (0, 1), ran.out
        assert oracle.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1
        holder.do("COMMIT")
        waiter.finish(waiting)
    sent = statements(server)
    assert set(sent) - own_texts() == {"COMMIT"}
    counted = [text for text in sent if not _UNCOUNTED.match(text)]
    assert 5 <= len(counted) <= MOST_STATEMENTS
    target = ran.target(server.port)
    assert target["statements"] == len(counted)
    assert target["server"] == f"PostgreSQL {_version(server)}"
    logins = [entry for entry in logged(server) if "connection authorized" in entry]
    assert sum("application_name=backend-doctor" in entry for entry in logins) == 1
    assert len(logins) == 4


@pytest.mark.parametrize("version", [15, 18])
def test_plans_are_asked_for_within_bounds_of_their_own(
    version: int, make_postgres: Callable[..., PostgresServer]
) -> None:
    server = make_postgres(version, settings={**LOGGED, **SETTINGS})
    furnish(server)
    with Client(server.admin_url("shop")) as admin:
        if admin.ask("SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'"):
            admin.do("CREATE EXTENSION hypopg")
    slow, frequent = (
        "SELECT * FROM orders WHERE customer_id = $1 LIMIT 20",
        "SELECT name FROM colours WHERE id = $1",
    )
    with (
        Load(server, slow, lambda n: (n,)),
        Load(server, frequent, lambda n: (n,), pause=0.005),
    ):
        ran = check("--window", "1", DATABASE_URL=server.admin_url("shop"))
    assert "query.missing_index" in ran.causes(), ran.out
    sent = statements(server)
    foreign = set(sent) - own_texts_for('"public"')
    assert {text for text in foreign if not _PLANNING.fullmatch(text)} == set()
    assert any(text.startswith("PREPARE") for text in sent)
    counted = [text for text in sent if not _UNCOUNTED.match(text)]
    assert len(counted) <= MOST_STATEMENTS + MOST_FOR_A_PLAN
    assert ran.target(server.port)["statements"] == len(counted)


def _version(server: PostgresServer) -> str:
    found = re.search(r"starting PostgreSQL ([\d.]+)", server.log())
    assert found
    return found.group(1)
