"""postgres.stale_connections: facts in, findings out."""

import pytest
from tests.checks.postgres.builders import cause, evidence, instance, refused, run, slots

from backend_doctor import Each, Finding, Status, Subject
from backend_doctor.backends.http.answers import HealthAnswers, Sample

LOST = Sample(path="/ready", status=500, seconds=0.01, error="postgres.connection_lost")
FAILED = Sample(path="/ready", status=500, seconds=0.01)
QUICK = Sample(path="/ready", status=200, seconds=0.01)


def judge(*samples: Sample, uptime: float | None = 90.0) -> Finding:
    answers = HealthAnswers(url="http://api/ready", path="/ready", declared=True, samples=samples)
    faces = Each({"http": answers} if samples else {})
    room = slots(5, uptime=uptime, started_us=1_800_000_000_700_000)
    (finding,) = run("stale_connections", room, faces, instance())
    return finding


def test_lost_connections_after_a_restart() -> None:
    finding = judge(LOST, LOST, QUICK)
    assert (finding.status, cause(finding)) == (Status.CRITICAL, "pool.stale_after_restart")
    assert evidence(finding, "requests_on_dead_connections") == 2
    assert evidence(finding, "server_started_at") == 1_800_000_000
    assert "restarted 90 s ago" in finding.summary
    assert "http.server_error" in finding.explains
    assert Subject(kind="error", value="postgres.connection_lost") in finding.subjects
    assert Subject(kind="endpoint", value="/ready") in finding.subjects
    assert "pool_pre_ping=True" in finding.remedies[2].command
    assert judge(LOST, QUICK, QUICK).status is Status.WARNING


@pytest.mark.parametrize("samples", [(QUICK,) * 6, (FAILED,) * 6, ()], ids=["twin", "other", "no"])
def test_a_restart_alone_is_fine(samples: tuple[Sample, ...]) -> None:
    finding = judge(*samples)
    assert (finding.status, cause(finding)) == (Status.OK, "")


def test_without_a_restart_something_else_cut_them() -> None:
    finding = judge(LOST, LOST, uptime=1801.0)
    assert finding.status is Status.OK
    assert "no restart is behind it" in finding.notes[0]


def test_an_unknown_start_is_not_fine() -> None:
    assert judge(LOST, uptime=None).status is Status.UNKNOWN


def test_a_full_server_is_no_second_thing_to_mend() -> None:
    (finding,) = run("stale_connections", refused(5), Each[HealthAnswers]({}), instance())
    assert finding.status is Status.UNKNOWN
    assert finding.subjects == (Subject(kind="login", value=instance().address),)
