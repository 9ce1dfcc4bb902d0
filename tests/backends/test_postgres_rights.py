"""A sick server seen by roles of fewer and fewer rights: what one does not see, it says."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import asyncpg
import pytest
from tests.backends.statement_load import SETTINGS, Load
from tests.conftest import POSTGRES
from tests.safety.client import Client, wait_until
from tests.safety.tool import Ran, ended, spawn

from backend_doctor.backends.postgres.connection import connect
from backend_doctor.backends.postgres.frequent import refuse_without_counters
from backend_doctor.backends.postgres.statements import StatementStatistics
from backend_doctor.config.load import load as load_configuration
from backend_doctor.config.urls import parse_url
from backend_doctor.deadlines import Timing
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import AbsenceKind, Absent
from backend_doctor.planning import plan
from backend_doctor.running import choose_checks, gather
from backend_doctor.snapshot import Look

SUPERUSER = "postgres"
ROLES = {
    "reader": "IN ROLE pg_monitor, pg_read_all_data",
    "monitor": "IN ROLE pg_monitor",
    "plain": "",
}
CHECKS = choose_checks(["postgres"])
_PLAN = plan(CHECKS, "postgres")
FACTS = [fact.__name__ for fact in (*_PLAN.early, *_PLAN.twice, *_PLAN.late)]
_MAKE = """
CREATE EXTENSION pg_stat_statements;
CREATE SCHEMA vault;
CREATE TABLE vault.customers (id serial PRIMARY KEY, code smallserial, name text);
CREATE TABLE vault.orders (id int, customer_id int REFERENCES vault.customers, note text)
  WITH (autovacuum_enabled = off);
GRANT USAGE ON SCHEMA vault TO app; GRANT ALL ON ALL TABLES IN SCHEMA vault TO app;
INSERT INTO vault.customers (name) SELECT 'x' FROM generate_series(1, 1000);
INSERT INTO vault.orders
SELECT g, g % 900 + 1, repeat(md5(g::text), 10) FROM generate_series(1, 60000) AS g;
CREATE INDEX one ON vault.orders (id);
CREATE INDEX two ON vault.orders (id);
DELETE FROM vault.orders WHERE id > 30000;
DELETE FROM vault.customers WHERE id > 950;
SELECT setval('vault.customers_code_seq', 30800);
SELECT pg_create_physical_replication_slot('forgotten', true);
ANALYZE;
"""
_PREPARED = "BEGIN; DELETE FROM vault.customers WHERE id = 940; PREPARE TRANSACTION 'lost'"
_UPDATE = "UPDATE vault.customers SET name = '' WHERE id = 930"
_SLOW = "SELECT count(*) FROM vault.orders WHERE lower(note) = $1"
_OFTEN = "SELECT name FROM vault.customers WHERE id = 5"
_IDLE = "SELECT clock_timestamp() - max(state_change) > interval '2.5 s' FROM pg_stat_activity \
          WHERE application_name = 'billing'"
CAUSES = {
    "leak.idle_in_transaction", "lock.idle_holder", "index.missing_on_foreign_key",
    "index.duplicate", "sequence.exhausted", "bloat.autovacuum_off", "query.missing_index",
    "pool.role_limit",
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What can be read as one role, and what one ``check`` as that role said."""

    facts: dict[str, list[Look]]
    ran: Ran

    def fact(self, name: str) -> Look:
        return self.facts[name][-1]

    def worst(self, check: str) -> str:
        """The worst status of a check's findings."""
        found = {str(one["status"]) for one in self.ran.findings() if one["check"] == check}
        return next(one for one in ("critical", "warning", "unknown", *found) if one in found)


@contextmanager
def _visitors(url: str) -> Iterator[None]:
    """Some who come and go, so that newcomers are looked for."""
    over = Event()

    def come_and_go() -> None:
        while not over.is_set():
            with Client(url, "visitor"):
                over.wait(0.03)

    visitors = [Thread(target=come_and_go, daemon=True) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    yield
    over.set()
    for visitor in visitors:
        visitor.join(10)


def _fall_ill(server: PostgresServer, stack: ExitStack) -> None:
    """Leaks, a lock, a full role and two busy statements, until the stack's end."""

    def client(user: str, application: str = "billing") -> Client:
        return stack.enter_context(Client(server.url(user), application))

    admin = client(SUPERUSER, "oracle")
    for role, rights in {"app": "", "few": "CONNECTION LIMIT 1", **ROLES}.items():
        admin.do(f"CREATE ROLE {role} LOGIN {rights}")
    leaks = [client("app") for _ in range(3)]
    for leak in leaks:
        leak.do("BEGIN; SELECT 1")
    admin.do(_MAKE)
    client("app", "batch").do(_PREPARED)
    leaks[0].do(_UPDATE)
    client("app", "waiter").start(_UPDATE)
    client("few", "few")
    wait_until(lambda: admin.ask(_IDLE), 10)
    stack.enter_context(Load(server, _SLOW, lambda n: (str(n),), database="postgres", pause=0.02))
    stack.enter_context(Load(server, _OFTEN, database="postgres", pause=0.002))


@pytest.fixture(scope="module", params=[15, 18])
def seen(request: pytest.FixtureRequest) -> dict[str, Seen]:
    """By role; all look at the same server."""
    settings = {**SETTINGS, "max_prepared_transactions": 2}
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(POSTGRES[request.param](), settings=settings))
        _fall_ill(server, stack)
        urls = {role: server.url(role) for role in (SUPERUSER, *ROLES)}
        with _visitors(server.url("app")):
            facts = _facts([*urls.values()])
        begun = time.monotonic()
        # without visitors: to look for newcomers keeps sessions busy, which the others would see
        running = {role: _check(url) for role, url in urls.items()}
        return {role: Seen(facts[role], ended(one, begun)) for role, one in running.items()}


def _check(url: str) -> "subprocess.Popen[str]":
    return spawn("check", "env:DB", "--window", "1.5", "--format", "json", DB=url)


def _facts(urls: list[str]) -> dict[str, dict[str, list[Look]]]:
    looked, _ = gather(
        load_configuration(targets=urls),
        CHECKS,
        Timing(window=1.5),
        progress=lambda _: None,
        leave=lambda _: None,
    )
    return {one.instance.user: one.facts for one in looked.backends}


def filled(value: Any, path: str = "") -> set[str]:
    """The fields that hold something anywhere, a list's as those of its items."""
    if isinstance(value, dict):
        held = ((f"{path}.{key}", item) for key, item in value.items() if key != "refusal")
        return {one for place, item in held for one in filled(item, place)}
    if isinstance(value, list):
        return {one for item in value for one in filled(item, path)}
    return set() if value in (None, "") else {path}


def admits(value: Any) -> bool:
    """Whether a fact says of itself that something is hidden from the role."""
    if isinstance(value, dict):
        blind = value.get("sees_all") is False or value.get("readable") is False
        return blind or bool(value.get("remedy")) or any(map(admits, value.values()))
    return isinstance(value, list) and any(map(admits, value))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_is_whole_or_says_what_is_hidden(
    seen: dict[str, Seen], fact: str, role: str
) -> None:
    whole, found = seen[SUPERUSER].fact(fact), seen[role].fact(fact)
    if found.absent is None:
        missing = filled(whole.value) - filled(found.value)
        assert not missing or admits(found.value)
    elif whole.absent is None:
        assert found.absent.kind is AbsenceKind.BLIND
        assert found.absent.remedy == f'GRANT pg_monitor TO "{role}";'
    else:
        assert found.absent.kind in (whole.absent.kind, AbsenceKind.BLIND)


def test_the_superuser_sees_every_ill(seen: dict[str, Seen]) -> None:
    assert seen[SUPERUSER].ran.causes() >= CAUSES


@pytest.mark.parametrize("role", ROLES)
def test_no_check_is_ok_for_want_of_a_right(seen: dict[str, Seen], role: str) -> None:
    mine, whole = seen[role], seen[SUPERUSER]
    assert mine.ran.code == whole.ran.code == 2
    ill = ("critical", "warning")
    for check in {one["check"] for one in whole.ran.findings()}:
        # each ran in a window of its own, so that a rate may be worse for one
        assert whole.worst(check) not in ill or mine.worst(check) in (*ill, "unknown"), check
    for one in mine.ran.findings():
        if one["status"] == "unknown":
            assert any(f'TO "{role}";' in remedy["command"] for remedy in one["remedies"]), one
    unseen = {one["check"] for one in mine.ran.findings() if one["status"] == "unknown"}
    assert bool(unseen) is (role != "reader"), unseen


@pytest.mark.parametrize("version", [16, 17])
def test_what_is_not_loaded_needs_no_right(version: int, request: pytest.FixtureRequest) -> None:
    server: PostgresServer = request.getfixturevalue(f"postgres{version}")

    async def statistics() -> StatementStatistics:
        admin = await asyncpg.connect(server.admin_url())
        await admin.execute("CREATE ROLE unprivileged LOGIN")
        try:
            _, db = await connect(parse_url(server.url("unprivileged"), place="test"), limit=5)
            assert db is not None
            found = await StatementStatistics.collect(db)
            await db.close()
            return found
        finally:
            await admin.execute("DROP ROLE unprivileged")
            await admin.close()

    with pytest.raises(Absent, match="pg_stat_statements is not loaded") as caught:
        refuse_without_counters(asyncio.run(statistics()), seen=False)
    assert caught.value.absence.kind is AbsenceKind.NOT_APPLICABLE
