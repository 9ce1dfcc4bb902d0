"""What the server's own log says of us: one session, few statements, all of them our own."""

import importlib
import pkgutil
import re
from collections.abc import Callable

import pytest
from tests.safety.client import Client
from tests.safety.tool import check

from backend_doctor.backends import postgres
from backend_doctor.demo.servers import PostgresServer

MOST_STATEMENTS = 25
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d ", re.MULTILINE)
_STATEMENT = re.compile(r"LOG:  (?:statement|execute \S+): (.*)", re.DOTALL)
_UNCOUNTED = re.compile(r"BEGIN|COMMIT|ROLLBACK|SET LOCAL", re.IGNORECASE)
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
    for module in pkgutil.iter_modules(postgres.__path__):
        names = vars(importlib.import_module(f"{postgres.__name__}.{module.name}"))
        found |= {flat(text) for text in names.values() if isinstance(text, str)}
    return {text for text in found if re.match(r"(SELECT|WITH|BEGIN)\b", text)}


def logged(server: PostgresServer) -> list[str]:
    return _ENTRY.split(server.log())


def statements(server: PostgresServer) -> list[str]:
    """What our sessions ran, by the log."""
    ours = [entry for entry in logged(server) if "<backend-doctor>" in entry]
    return [flat(found.group(1)) for entry in ours if (found := _STATEMENT.search(entry))]


@pytest.mark.parametrize("version", [15, 18])
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
    assert set(sent) - own_texts() == {"ROLLBACK"}
    counted = [text for text in sent if not _UNCOUNTED.match(text)]
    assert 5 <= len(counted) <= MOST_STATEMENTS
    target = ran.target(server.port)
    assert target["statements"] == len(counted)
    assert target["server"] == f"PostgreSQL {_version(server)}"
    logins = [entry for entry in logged(server) if "connection authorized" in entry]
    assert sum("application_name=backend-doctor" in entry for entry in logins) == 1
    assert len(logins) == 4


def _version(server: PostgresServer) -> str:
    found = re.search(r"starting PostgreSQL ([\d.]+)", server.log())
    assert found
    return found.group(1)
