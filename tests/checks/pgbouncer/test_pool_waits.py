"""pgbouncer.pool_waits: four ways to wait, and looks that are the ordinary work of a pool."""

from functools import partial
from typing import Any

import msgspec
import pytest
from tests.checks.pgbouncer.builders import (
    SETTINGS,
    bouncer,
    database,
    here,
    judge,
    pool,
    pools,
    service,
)
from tests.checks.postgres.builders import cause, evidence, pids, refused, slots

from backend_doctor import Confidence, Status

QUEUE = pools(pool(), pool())
WORKING = {"state": "active", "query": "SELECT 1", "state_age": 0.02}


def leaked(pid: int, **fields: Any) -> Any:
    usual = {"state": "idle in transaction", "state_age": 8.0, "query": "SELECT 1"}
    return here(pid, **{**usual, **fields})


def working(pid: int, **fields: Any) -> Any:
    return here(pid, **{**WORKING, **fields})


def test_nobody_waits() -> None:
    finding = judge(pools(pool(0, max_wait=0.0)))
    assert (finding.status, cause(finding)) == (Status.OK, "")
    assert {measure.name: measure.value for measure in finding.measures} == {
        "waiting_clients": 0,
        "max_wait_seconds": 0.0,
    }


@pytest.mark.parametrize(
    "seen",
    [
        pools(pool(6), pool(0)),
        pools(pool(6), pool(0), pool(0)),
        pools(pool(6, max_wait=0.4), pool(6, max_wait=0.3)),
    ],
)
def test_a_short_queue_is_the_work_of_a_pool(seen: Any) -> None:
    assert judge(seen, [leaked(11), leaked(12)]).status is Status.OK


def test_two_of_three_samples_are_enough() -> None:
    assert judge(pools(pool(6), pool(0), pool(2))).status is Status.WARNING


@pytest.mark.parametrize(("wait", "status"), [(1.0, "warning"), (4.9, "warning"), (5, "critical")])
def test_how_long_is_too_long(wait: float, status: str) -> None:
    assert judge(pools(pool(max_wait=wait), pool(max_wait=0.1))).status.value == status


def test_half_of_the_timeout_is_critical() -> None:
    short = type(SETTINGS)(max_client_conn=100, query_wait_timeout=4)
    assert judge(pools(pool(max_wait=2.0), pool()), settings=short).status is Status.CRITICAL


def test_a_leak_behind_it() -> None:
    finding = judge(QUEUE, [leaked(11), leaked(12)], transactions=0, slots=slots(2))
    assert cause(finding) == "leak.idle_in_transaction"
    assert evidence(finding, "sessions_idle_in_transaction") == 2
    (named,) = [one for one in finding.evidence if one.key == "clients_through_pgbouncer"]
    assert named.text.endswith("2 by shop-api from 10.0.0.8:60011, 10.0.0.8:60012")
    assert pids(finding) == {11, 12}
    assert {one.server for one in finding.subjects if one.kind == "pid"} == {"db:5432/shop"}
    assert "pg_terminate_backend" in finding.remedies[0].command
    assert "ends 2 sessions of shop-api" in finding.remedies[0].effect
    assert not any("pool_size" in remedy.command for remedy in finding.remedies)


@pytest.mark.parametrize(("age", "said"), [(9.0, True), (60.0, False)])
def test_a_leak_that_may_be_a_long_call_is_less_sure(age: float, said: bool) -> None:
    finding = judge(QUEUE, [leaked(pid, state_age=age) for pid in (11, 12)], slots=slots(2))
    assert finding.cause is not None
    assert finding.cause.confidence is (Confidence.POSSIBLE if said else Confidence.LIKELY)
    assert ["--window 60" in note for note in finding.notes] == [True] * said


def test_transactions_that_move_are_no_leak() -> None:
    before = [leaked(pid, state_us=1, state_age=0.05) for pid in (11, 12)]
    after = [leaked(pid, state_us=2, state_age=0.05) for pid in (11, 12)]
    finding = judge(QUEUE, after, before, transactions=100, slots=slots(2))
    assert cause(finding) == "pgbouncer.pool_too_small"
    assert "2 of its sessions idled in a transaction" in finding.notes[0]


def test_sessions_of_another_server_tell_nothing() -> None:
    strangers = [leaked(pid, port=1, database="other") for pid in (11, 12)]
    assert cause(judge(QUEUE, strangers, slots=slots(2))) == "pgbouncer.pool_busy"


def test_a_lock_behind_it() -> None:
    blocked = [here(pid, state="active", wait_type="Lock", blocked_by=(9,)) for pid in (11, 12)]
    finding = judge(QUEUE, blocked, slots=slots(2))
    assert cause(finding) == "pool.blocked_sessions"
    assert pids(finding) == {11, 12}


def test_a_slow_statement_behind_it() -> None:
    slow = [working(pid, state_age=2.5, query_id="77") for pid in (11, 12)]
    finding = judge(QUEUE, slow, transactions=4, slots=slots(2))
    assert cause(finding) == "query.pileup"
    assert {one.value for one in finding.subjects if one.kind == "query"} == {"77"}
    assert "backend-doctor query 'SELECT 1'" in {one.command for one in finding.remedies}
    quick = [working(pid, state_age=0.2, query_id="77") for pid in (11, 12)]
    assert cause(judge(QUEUE, quick, transactions=40, slots=slots(2))) == "pgbouncer.pool_too_small"


def test_sessions_that_idle_in_session_mode() -> None:
    idle = [here(pid, state_age=30.0) for pid in (11, 12)]
    seen = pools(pool(mode="session"), pool(mode="session"))
    finding = judge(seen, idle, slots=slots(2))
    assert cause(finding) == "pgbouncer.session_pooling"


@pytest.mark.parametrize(
    ("own", "common", "place"),
    [
        ("", "session", "[pgbouncer]"),
        ("session", "transaction", "shop (or of *) in [databases]"),
        ("", "transaction", "app in [users]"),
    ],
)
def test_the_mode_is_changed_where_it_is_set(own: str, common: str, place: str) -> None:
    idle = [here(pid, state_age=30.0) for pid in (11, 12)]
    seen = pools(pool(mode="session"), pool(mode="session"))
    settings = msgspec.structs.replace(SETTINGS, pool_mode=common)
    finding = judge(seen, idle, slots=slots(2), place=database(pool_mode=own), settings=settings)
    assert f"{place} of pgbouncer.ini" in finding.remedies[0].command


def test_a_pool_that_is_too_small() -> None:
    finding = judge(QUEUE, [working(11), working(12)], transactions=200, slots=slots(3))
    assert cause(finding) == "pgbouncer.pool_too_small"
    assert evidence(finding, "free_slots") == 24
    assert evidence(finding, "transactions_per_second") == 40
    assert "default_pool_size = 8 " in finding.remedies[0].command
    own = judge(
        QUEUE,
        [working(11), working(12)],
        transactions=200,
        slots=slots(21),
        place=database(max_connections=2),
        settings=None,
    )
    assert own.remedies[0].command.startswith("pool_size = 5, max_db_connections = 5 ")
    assert "the line of shop" in own.remedies[0].command


def test_only_the_limit_that_is_reached_is_raised() -> None:
    finding = judge(
        QUEUE,
        [working(11), working(12)],
        transactions=200,
        slots=slots(3),
        place=database(pool_size=20, max_connections=5, connections=5),
    )
    assert finding.remedies[0].command.startswith("max_db_connections = 11 ")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"last": None}, "sessions behind it are not seen"),
        ({"transactions": None}, "seen only once"),
        ({"slots": None}, "whether PostgreSQL has room"),
    ],
)
def test_what_is_not_known_is_said(known: dict[str, Any], said: str) -> None:
    usual = {"last": [working(11), working(12)], "transactions": 200, "slots": slots(3)}
    finding = judge(QUEUE, **{**usual, **known})
    assert cause(finding) == "pgbouncer.pool_busy"
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.POSSIBLE
    assert said in finding.cause.because
    next_steps = [remedy.command for remedy in finding.remedies]
    assert any("postgresql://USER@" in step for step in next_steps) == (known == {"last": None})


def test_no_connection_to_be_had() -> None:
    short = pools(pool(active=1, login=1), pool(active=1, login=1))
    for taken in (slots(27), refused(30)):
        finding = judge(short, slots=taken)
        assert cause(finding) == "pgbouncer.server_full"
        assert ("login", "db:5432/shop") in {(one.kind, one.value) for one in finding.subjects}
    none = pools(pool(active=0), pool(active=0))
    finding = judge(none, slots=slots(3))
    assert cause(finding) == "pgbouncer.server_unavailable"
    assert finding.cause is not None
    assert "unless all of PgBouncer is paused" in finding.cause.because
    assert "psql -h db -p 5432 -U app -d shop" in finding.remedies[1].command
    opening = judge(pools(pool(active=0, login=1), pool(active=0, login=1)), slots=slots(3))
    assert opening.cause is not None
    assert opening.cause.confidence is Confidence.LIKELY
    assert "paused" not in opening.cause.because
    limited = type(SETTINGS)(max_client_conn=9, max_user_connections=1, query_wait_timeout=120)
    assert cause(judge(short, settings=limited, slots=slots(3))) == "pgbouncer.pool_busy"


def test_a_full_server_is_the_cause_whatever_the_few_connections_do() -> None:
    short = pools(pool(), pool())
    for doing in (leaked, partial(working, state_age=2.5)):
        sessions = [doing(11), doing(12)]
        finding = judge(short, sessions, slots=slots(27), place=database(pool_size=10))
        assert cause(finding) == "pgbouncer.server_full"
        assert cause(judge(short, sessions, slots=slots(27))) != "pgbouncer.server_full"


def test_a_paused_database() -> None:
    finding = judge(QUEUE, [leaked(11)], place=database(paused=True), slots=slots(2))
    assert cause(finding) == "pgbouncer.paused"
    assert "RESUME shop;" in finding.remedies[0].command
    assert evidence(finding, "paused_database") == "shop"


def test_clients_held_at_their_login_wait_for_a_paused_database_too() -> None:
    held, gone = pool(6, active=0, max_wait=0.0), pool(0, active=0, max_wait=0.0)
    killed = judge(pools(held, held), place=database(paused=True))
    assert (killed.status, cause(killed)) == (Status.WARNING, "pgbouncer.paused")
    assert "up to" not in killed.summary
    assert not [one for one in killed.evidence if one.key == "max_wait_seconds"]
    assert judge(pools(held, gone, held), place=database(paused=True)).status is Status.OK
    assert judge(pools(held, held)).status is Status.OK


def test_postgres_by_way_of_the_pooler_itself() -> None:
    by_way = service(bouncer(), bouncer(backend="postgres", name="primary", address="pool/shop"))
    finding = judge(QUEUE, [leaked(11), leaked(12)], slots=slots(2), where=by_way)
    assert cause(finding) == "leak.idle_in_transaction"
    assert {one.server for one in finding.subjects if one.kind == "pid"} == {"pool/shop"}


def test_what_clients_of_the_database_see_is_explained() -> None:
    finding = judge(QUEUE, [leaked(11), leaked(12)], slots=slots(2))
    shared = {(one.kind, one.value) for one in finding.subjects}
    assert {
        ("application", "shop-api"),
        ("login", "pool:6432/shop"),
        ("error", "pgbouncer.pool_timeout"),
    } <= shared
    assert {"http.server_error", "reach.timed_out"} <= set(finding.explains)
