"""postgres.long_transactions: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import (
    NO_POOLER,
    TAKEN_AT,
    cause,
    evidence,
    looks,
    pids,
    run,
    session,
    waiting,
)
from tests.checks.postgres.vacuum_facts import horizon, prepared

from backend_doctor import Finding, Looks, Status, Step
from backend_doctor.backends.postgres.horizon import Horizon
from backend_doctor.backends.postgres.sessions import Session, Sessions

EXTERNAL = "tx.external_call_held"


def judge(found: Looks[Sessions], held: Horizon | None = None) -> list[Finding]:
    return run("long_transactions", found.last, found, held, *NO_POOLER)


def long(pid: int, **fields: Any) -> Session:
    """One that works in a transaction for two minutes."""
    usual = {"state": "active", "transaction_age": 120.0, "transaction_us": 5, "locks": 2}
    return session(pid, **{**usual, **fields})


def held(pid: int, number: int, age: float, **fields: Any) -> Session:
    """One that idles in its transaction ``number`` for ``age`` seconds."""
    usual = {"state": "idle in transaction", "transaction_us": number, "state_us": number + 1}
    return session(pid, state_age=age, transaction_age=age, **{**usual, **fields})


@pytest.mark.parametrize(
    ("age", "status"),
    [(59.0, Status.OK), (60.0, Status.WARNING), (599.0, Status.WARNING), (600.0, Status.CRITICAL)],
)
def test_the_age_of_the_transaction_counts(age: float, status: Status) -> None:
    (finding,) = judge(looks([long(11, transaction_age=age), session(12)]))
    assert finding.status is status
    assert finding.measures[0].value == age
    assert cause(finding) == ("" if status is Status.OK else "tx.long_running")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"locks": 3}, "3 locks"),
        ({"locks": 0, "has_xmin": True}, "a snapshot, for which vacuum keeps"),
        ({"locks": 1, "has_xid": True}, "holds 1 lock and a snapshot"),
        ({"locks": 0}, "neither"),
    ],
)
def test_it_is_said_what_it_holds(fields: dict[str, Any], words: str) -> None:
    (finding,) = judge(looks([long(11, **fields, transaction_age=700.0)]))
    assert words in finding.summary
    assert (finding.status is Status.CRITICAL) == (words != "neither")


def test_a_busy_one_is_cancelled_an_idle_one_ended() -> None:
    (busy,) = judge(looks([long(11)]))
    (idle,) = judge(looks([long(11, state="idle in transaction")]))
    assert "pg_cancel_backend" in busy.remedies[0].command
    assert "pg_terminate_backend" in idle.remedies[0].command
    for finding in (busy, idle):
        assert pids(finding) == {11}
        assert f"state_change <= '{TAKEN_AT}'" in finding.remedies[0].command
        assert [r.step for r in finding.remedies] == [Step.STOP, Step.CONFIRM, Step.PREVENT]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "walsender"},
        {"kind": "autovacuum worker"},
        {"application": "pg_dump"},
        {"application": "pgBackRest [backup]"},
        {"query": "CREATE INDEX CONCURRENTLY ON orders (id)"},
        {"query": "VACUUM orders"},
    ],
)
def test_some_are_long_by_design(fields: dict[str, Any]) -> None:
    (finding,) = judge(looks([long(11, **{"has_xmin": True, **fields})]))
    assert finding.status is Status.OK


def test_time_spent_waiting_for_a_lock_is_anothers_doing() -> None:
    (finding,) = judge(looks([waiting(11, 12, transaction_age=90.0, seconds=80.0)]))
    assert finding.status is Status.OK
    (finding,) = judge(looks([waiting(11, 12, transaction_age=90.0, seconds=1.0)]))
    assert finding.status is Status.WARNING


def test_one_finding_for_each_application_role_and_kind() -> None:
    found = [long(11), long(12), long(13, state="idle in transaction"), long(14, user="other")]
    assert [pids(finding) for finding in judge(looks(found))] == [{11, 12}, {13}, {14}]


def test_transactions_that_idle_for_seconds_while_they_turn_over() -> None:
    first = [held(pid, pid, 1.5) for pid in (11, 12, 13, 14)]
    last = [held(pid, 100 + pid, 0.8, locks=1) for pid in (11, 12, 13)]
    (finding,) = judge(looks([*last, session(14)], first))
    assert (finding.status, cause(finding)) == (Status.WARNING, EXTERNAL)
    assert evidence(finding, "transactions_held") == 3
    assert evidence(finding, "idle_seconds") == pytest.approx(1.2)
    assert pids(finding) == {11, 12, 13, 14}
    assert Step.STOP not in [remedy.step for remedy in finding.remedies]
    assert {"lock.idle_holder", "lock.advisory", "pool.server_full"} <= set(finding.explains)


def test_the_same_transactions_stuck_are_a_leak_and_not_told_here() -> None:
    (finding,) = judge(looks([held(pid, pid, 20.0) for pid in (11, 12, 13, 14)]))
    assert finding.status is Status.OK


def test_those_that_cycle_within_a_moment_are_healthy() -> None:
    first = [held(pid, pid, 0.19) for pid in range(11, 16)]
    last = [held(pid, 100 + pid, 0.19) for pid in range(11, 16)]
    assert judge(looks(last, first))[0].status is Status.OK


def test_two_are_too_few_and_applications_do_not_add_up() -> None:
    first = [held(pid, pid, 2.0, application=f"app{pid % 2}x") for pid in (11, 12, 13, 14)]
    last = [held(pid, 100 + pid, 2.0, application=f"app{pid % 2}x") for pid in (11, 12, 13, 14)]
    assert judge(looks(last, first))[0].status is Status.OK


def test_calls_longer_than_the_window_are_no_leak() -> None:
    first = [held(pid, pid, float(pid % 8)) for pid in range(11, 19)]
    gone = {pid for pid in range(11, 19) if pid % 8 >= 3}
    last = [
        held(pid, 100 + pid, 1.0) if pid in gone else held(pid, pid, pid % 8 + 5.0)
        for pid in range(11, 19)
    ]
    (finding,) = judge(looks(last, first))
    assert (cause(finding), evidence(finding, "transactions_held")) == (EXTERNAL, 8)


def test_a_prepared_transaction_nobody_ends_is_told_with_its_gid() -> None:
    (finding,) = judge(looks([]), horizon(prepared("it's", seconds=299.0)))
    assert finding.status is Status.OK
    (finding,) = judge(looks([]), horizon(prepared("it's", seconds=300.0)))
    assert (finding.status, cause(finding)) == (Status.WARNING, "tx.prepared_forgotten")
    assert "it's" in finding.evidence[0].text
    assert "ROLLBACK PREPARED 'it''s'" in finding.remedies[0].command
    assert [(s.kind, s.value) for s in finding.subjects] == [("prepared", "it's")]
    assert "lock.idle_holder" in finding.explains  # who wait for what it holds wait for its end
    (finding,) = judge(looks([]), horizon(prepared("it's", seconds=3600.0)))
    assert finding.status is Status.CRITICAL


def test_one_look_is_enough_for_the_age() -> None:
    seen = looks([long(11)]).last
    (finding,) = run("long_transactions", seen, None, None, *NO_POOLER)
    assert cause(finding) == "tx.long_running"
