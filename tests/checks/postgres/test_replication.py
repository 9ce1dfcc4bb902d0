"""postgres.replication: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import cause, evidence, run
from tests.checks.postgres.windows import GIB, MIB, counted

from backend_doctor import Finding, Status
from backend_doctor.backends.postgres.replication import Replication, Standby


def judge(*standbys: Standby, hidden: int = 0, **counts: Any) -> Finding:
    facts = Replication(standbys=standbys, hidden=hidden, role="doc")
    (finding,) = run("replication", facts, counted(**counts))
    return finding


@pytest.mark.parametrize(
    ("behind", "seconds", "status"),
    [
        (0, None, Status.OK),
        (MIB, 29.0, Status.OK),
        (MIB, 30.0, Status.WARNING),
        (MIB, 300.0, Status.CRITICAL),
        (0, 900.0, Status.OK),
        (100 * GIB, 1.0, Status.OK),
        (GIB, None, Status.WARNING),
        (MIB, None, Status.OK),
    ],
)
def test_lag_is_seconds_of_a_standby_with_bytes_to_replay(
    behind: int, seconds: float | None, status: Status
) -> None:
    finding = judge(Standby(name="copy", behind=behind, seconds=seconds))
    assert finding.status is status
    assert cause(finding) == ("" if status is Status.OK else "replication.lag")
    if status is not Status.OK:
        assert evidence(finding, "standby") == "copy"
        assert evidence(finding, "lag_bytes") == behind


def test_each_standby_is_judged_by_itself() -> None:
    late = Standby(name="late", behind=MIB, seconds=100.0)
    assert judge(Standby(name="near", behind=0), late).summary.startswith("Standby late is 1.0 MB")


def test_two_that_are_late_are_two_findings_and_each_number_comes_once() -> None:
    both = tuple(Standby(name=name, behind=MIB, seconds=100.0) for name in ("one", "two"))
    found = run("replication", Replication(standbys=both), counted())
    assert [evidence(finding, "standby") for finding in found] == ["one", "two"]
    assert [len(finding.measures) for finding in found] == [2, 0]


def test_no_standby_is_fine_and_a_hidden_one_is_unknown() -> None:
    assert judge().status is Status.OK
    finding = judge(hidden=1)
    assert finding.status is Status.UNKNOWN
    assert finding.remedies[0].command == 'GRANT pg_monitor TO "doc";'


def test_a_busy_primary_says_what_a_replica_could_take() -> None:
    standby = Standby(name="copy", behind=0)
    (note,) = judge(standby, commits=500, rows_read=900, rows_written=100).notes
    assert note.startswith("90% of the rows")
    assert "standby copy is 0 bytes behind" in note
    assert judge(standby, commits=5, rows_read=900, rows_written=100).notes == ()
