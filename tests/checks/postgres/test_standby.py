"""postgres.standby: facts in, findings out."""

from typing import Any

import msgspec
import pytest
from tests.checks.postgres.builders import WINDOW, cause, instance, run
from tests.checks.postgres.windows import MIB

from backend_doctor import Finding, Looks, Status
from backend_doctor.backends.postgres.counters import Counters, Recovery
from backend_doctor.backends.postgres.replication import Replication


def judge(
    first: Recovery | None, last: Recovery | None = None, *, role: str = "", **fields: Any
) -> Finding:
    looks = Looks(Counters(recovery=first), Counters(recovery=last or first), WINDOW)
    where = msgspec.structs.replace(instance(), settings={"role": role} if role else {})
    facts = Replication(in_recovery=first is not None, **fields)
    (finding,) = run("standby", facts, looks, where)
    return finding


def at(
    received: int | None, replayed: int, age: float | None = 60.0, receivers: int = 1
) -> Recovery:
    return Recovery(received=received, replayed=replayed, replayed_age=age, receivers=receivers)


def test_an_idle_primary_makes_no_lag() -> None:
    finding = judge(at(500 * MIB, 500 * MIB, age=86_400.0))
    assert (finding.status, cause(finding)) == (Status.OK, "")


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [
        (at(50 * MIB, 10 * MIB), at(90 * MIB, 20 * MIB), Status.WARNING),
        (at(50 * MIB, 10 * MIB), at(90 * MIB, 20 * MIB, age=400.0), Status.CRITICAL),
        (at(50 * MIB, 10 * MIB), at(90 * MIB, 60 * MIB), Status.OK),
        (at(50 * MIB, 10 * MIB), at(90 * MIB, 20 * MIB, age=20.0), Status.OK),
        (at(50 * MIB, 50 * MIB), at(90 * MIB, 60 * MIB, age=900.0), Status.OK),
        (at(20 * MIB, 10 * MIB), at(25 * MIB, 15 * MIB), Status.OK),
    ],
    ids=["behind", "far behind", "gets through", "young", "a burst after a pause", "little"],
)
def test_behind_is_who_does_not_get_through_what_had_arrived(
    first: Recovery, last: Recovery, status: Status
) -> None:
    finding = judge(first, last)
    assert finding.status is status
    assert cause(finding) == ("" if status is Status.OK else "replication.lag")


def test_a_delay_on_purpose_is_none() -> None:
    waiting = at(50 * MIB, 10 * MIB, age=620.0)
    assert judge(waiting, apply_delay=600.0).status is Status.OK
    assert judge(waiting).status is Status.CRITICAL


def test_paused_replay_is_resumed() -> None:
    finding = judge(at(50 * MIB, 10 * MIB), paused=True)
    assert finding.cause is not None
    assert "pg_wal_replay_pause" in finding.cause.because
    assert finding.remedies[-1].command == "SELECT pg_wal_replay_resume();"


@pytest.mark.parametrize(
    ("first", "last", "restores", "label"),
    [
        (at(5, 5, receivers=0), at(5, 5, receivers=0), False, "replication.broken"),
        (at(None, 5, None, 0), at(None, 5, None, 0), False, "replication.broken"),
        (at(5, 5, receivers=0), at(5, 5, receivers=0), True, ""),
        (at(5, 5, receivers=0), at(5, 5), False, ""),
        (at(None, 5, receivers=0), at(None, 9, receivers=0), False, ""),
    ],
)
def test_broken_is_who_receives_nothing_in_both_looks(
    first: Recovery, last: Recovery, restores: bool, label: str
) -> None:
    assert cause(judge(first, last, restores=restores)) == label


@pytest.mark.parametrize(("role", "label"), [("replica", "replication.promoted"), ("", "")])
def test_a_replica_that_takes_writes_was_promoted(role: str, label: str) -> None:
    finding = judge(None, role=role)
    assert cause(finding) == label
