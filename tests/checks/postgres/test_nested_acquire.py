"""postgres.nested_acquire: facts in, findings out; and what others say of the same facts."""

from typing import Any

import msgspec
import pytest
from tests.checks.postgres.builders import (
    cause,
    evidence,
    instance,
    leaked,
    looks,
    pids,
    run,
    service,
    session,
    slots,
    waiting,
)

from backend_doctor import Confidence, Each, Finding, Looks, Status
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.http.standstill import pool_wait
from backend_doctor.backends.postgres.sessions import Session
from backend_doctor.registry import bundled_folder, load_file

LABEL = "pool.nested_acquire_deadlock"
NOW = 1_000_000_000
TIMED_OUT = Sample(
    path="/ready",
    status=500,
    seconds=2.8,
    error="sqlalchemy.pool_timeout",
    pool=(4, 1),
    pool_wait=1.5,
)
HANGS = Sample(path="/ready", status=0, seconds=4.0, problem="no answer within 4 s")
QUICK = Sample(path="/ready", status=200, seconds=0.01)


def standing(begun: float, age: float, count: int = 5, apart: float = 0.01) -> list[Session]:
    """The pool's sessions, idle in transactions begun ``apart`` seconds from each other."""
    return [
        leaked(
            pid,
            state_us=int(NOW + (begun + apart * pid) * 1e6),
            state_age=age - apart * pid,
            transaction_us=int(NOW + (begun + apart * pid) * 1e6),
            transaction_age=age - apart * pid,
        )
        for pid in range(1, count + 1)
    ]


BEFORE, AFTER = standing(0.0, 0.9), standing(5.2, 0.7)
WAVES = looks(AFTER, BEFORE)
BUSY = [msgspec.structs.replace(s, state="active", state_age=0.02) for s in AFTER]


def judge(*samples: Sample, found: Any = WAVES, used: int = 7, declared: int | None = 5) -> Finding:
    answers = HealthAnswers(url="http://api/ready", path="/ready", declared=True, samples=samples)
    settings: dict[str, Any] = {"pool_size": declared} if declared else {}
    (finding,) = run(
        "nested_acquire",
        found,
        slots(used),
        Each({"http": Looks(answers, answers, 5.0)} if samples else {}),
        service(**settings),
        msgspec.structs.replace(instance(**settings), database="shop"),
    )
    return finding


def test_the_whole_pool_stands_and_stands_again() -> None:
    finding = judge(TIMED_OUT, QUICK)
    assert (finding.status, cause(finding)) == (Status.CRITICAL, LABEL)
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY
    assert "let go together" in finding.cause.because
    assert evidence(finding, "standing_sessions") == 5
    assert evidence(finding, "pool_wait_seconds") == 1.5
    assert evidence(finding, "named_error") == "sqlalchemy.pool_timeout"
    assert evidence(finding, "free_slots") == 20
    assert pids(finding) == {1, 2, 3, 4, 5}
    assert {"application", "endpoint", "error"} <= {one.kind for one in finding.subjects}
    assert {"tx.external_call_held", "pool.undersized"} <= set(finding.explains)
    commands = " ".join(remedy.command for remedy in finding.remedies)
    assert "terminate" not in commands
    assert "the same session" in commands


def test_with_a_long_wait_the_same_stand_in_both_looks() -> None:
    waits = msgspec.structs.replace(TIMED_OUT, pool_wait=30.0)
    finding = judge(waits, found=looks(standing(0.0, 14.0), standing(0.0, 9.0)))
    assert cause(finding) == LABEL
    assert finding.cause is not None
    assert "none is older" in finding.cause.because


@pytest.mark.parametrize(
    "found",
    [
        looks(AFTER, [session(pid, state_age=0.1, state_us=9) for pid in range(1, 6)]),
        looks([session(pid, state_age=0.1, state_us=9) for pid in range(1, 6)], BEFORE),
        looks(
            [msgspec.structs.replace(one, state="idle", transaction_us=None) for one in AFTER],
            [msgspec.structs.replace(one, state="idle", transaction_us=None) for one in BEFORE],
        ),
        looks([*AFTER, *[msgspec.structs.replace(s, pid=s.pid + 10) for s in BEFORE]], BEFORE),
        looks([*AFTER[:4], session(5, state="active", state_age=0.03)], BEFORE),
    ],
    ids=["let go before", "let go now", "autocommit", "another process too", "one is let go"],
)
def test_it_is_known_between_two_waits_and_without_transactions(found: Any) -> None:
    assert cause(judge(TIMED_OUT, found=found)) == LABEL


@pytest.mark.parametrize(
    "found",
    [
        looks(standing(0.0, 9.0), standing(0.0, 4.0)),
        looks(standing(5.0, 1.2, apart=0.2), standing(0.0, 1.2, apart=0.2)),
        looks([s for s in AFTER if s.pid < 5], BEFORE),
        looks(BUSY, [msgspec.structs.replace(s, state_us=1) for s in BUSY]),
        looks([*AFTER[:4], session(5, state="active"), session(6, state="active")], BEFORE),
        looks([*AFTER, waiting(9, 1)], BEFORE),
        looks([session(pid) for pid in range(1, 6)]),
        looks([session(pid, state_age=0.02, state_us=pid) for pid in range(1, 6)], BEFORE[:0]),
        looks([msgspec.structs.replace(s, database="other") for s in AFTER], BEFORE),
    ],
    ids=[
        "a leak is older",
        "calls to elsewhere are staggered",
        "not the whole pool",
        "at work",
        "some at work",
        "one waits for a lock",
        "kept for longer",
        "handed on at once",
        "another database",
    ],
)
def test_timeouts_beside_other_sessions_are_something_else(found: Any) -> None:
    finding = judge(TIMED_OUT, found=found)
    assert (finding.status, cause(finding)) == (Status.OK, "")


def test_no_answer_names_a_timeout() -> None:
    assert (judge(QUICK).status, judge(QUICK).notes) == (Status.OK, ())
    assert (judge().status, judge().notes) == (Status.OK, ())
    finding = judge(HANGS)
    assert (finding.status, cause(finding)) == (Status.OK, "")
    assert "may wait for a second connection" in finding.notes[0]


def test_a_full_server_is_something_else() -> None:
    assert cause(judge(TIMED_OUT, used=26)) == ""


def test_how_long_a_request_waits() -> None:
    silent = msgspec.structs.replace(TIMED_OUT, error="asyncpg.pool_timeout", pool_wait=None)
    assert pool_wait([TIMED_OUT, silent]) == 1.5
    assert pool_wait([silent, msgspec.structs.replace(silent, seconds=3.1), QUICK]) == 2.8
    assert pool_wait([HANGS, QUICK]) is None
    assert cause(judge(msgspec.structs.replace(silent, pool=None), declared=None)) == LABEL


def undersized(found: Any) -> str:
    check = load_file(bundled_folder() / "http" / "pool_undersized.py").function
    answers = HealthAnswers(url="http://api", path="/", declared=True, samples=(TIMED_OUT,))
    (finding,) = check(
        Looks(answers, answers, 5.0),
        Each({}),
        Each({"postgres": found}),
        Each({"postgres": slots(7)}),
        Each({}),
        service(pool_size=5),
    )
    return cause(finding)


def test_such_a_pool_is_not_called_too_small() -> None:
    assert undersized(WAVES) == ""
    before = [msgspec.structs.replace(s, state_us=1) for s in BUSY]
    assert undersized(looks(BUSY, before)) == "pool.undersized"
