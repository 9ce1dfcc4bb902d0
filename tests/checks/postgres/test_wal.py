"""postgres.wal: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, run
from tests.checks.postgres.windows import GIB, MIB, counted

from backend_doctor import Finding, Status
from backend_doctor.backends.postgres.replication import Archiver, Replication, Slot


def judge(*slots: Slot, wal: int = 0, **fields: Any) -> list[Finding]:
    facts = Replication(slots=slots, **fields)
    return run("wal", facts, counted(server={"wal_bytes": wal}))


def slot(retained: int | None = MIB, **fields: Any) -> Slot:
    return Slot(name="feed", retained=retained, **fields)


def test_without_slots_there_is_nothing_to_say() -> None:
    (finding,) = judge()
    assert (finding.status, finding.notes) == (Status.OK, ())


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (slot(10 * GIB), Status.WARNING),
        (slot(10 * GIB, active=True), Status.WARNING),
        (slot(50 * GIB), Status.CRITICAL),
        (slot(MIB, status="unreserved"), Status.CRITICAL),
        (slot(None, status="lost"), Status.WARNING),
    ],
)
def test_a_slot_that_keeps_too_much_is_named(one: Slot, status: Status) -> None:
    (finding,) = judge(one)
    assert (finding.status, cause(finding)) == (status, "slot.retains_wal")
    assert evidence(finding, "slot") == "feed"
    assert evidence(finding, "wal_status") == one.status
    commands = [remedy.command for remedy in finding.remedies]
    drops = [command for command in commands if "pg_drop_replication_slot" in command]
    assert len(drops) == (0 if one.active else 1)
    assert all("NOT active" in command for command in drops)


@pytest.mark.parametrize("one", [slot(10 * GIB - 1), slot(status="extended", active=True)])
def test_the_twin_with_less_is_fine(one: Slot) -> None:
    (finding,) = judge(one)
    assert finding.status is Status.OK


def test_a_slot_that_nobody_reads_is_noted_with_the_time_that_is_left() -> None:
    (finding,) = judge(slot(), Slot(name="used", active=True, retained=0), wal=50 * MIB)
    (note,) = finding.notes
    assert "feed" in note
    assert note.endswith("it reaches 10.0 GB in 17 min")


@pytest.mark.parametrize(("limit", "steps"), [(-1, 1), (GIB, 0)])
def test_a_limit_is_proposed_only_where_there_is_none(limit: int, steps: int) -> None:
    (finding,) = judge(slot(11 * GIB), slot_limit=limit)
    assert sum("keep_size = '" in remedy.command for remedy in finding.remedies) == steps


def test_a_hostile_name_is_quoted() -> None:
    (finding,) = judge(Slot(name=HOSTILE, retained=11 * GIB))
    assert all("E'x''); DROP TABLE" in one.command for one in finding.remedies[:2])


@pytest.mark.parametrize(
    ("archived", "failed", "status"),
    [
        (10.0, None, Status.OK),
        (10.0, 20.0, Status.OK),
        (60.0, 20.0, Status.WARNING),
        (7200.0, 20.0, Status.CRITICAL),
        (None, 20.0, Status.CRITICAL),
        (None, None, Status.OK),
    ],
)
def test_archiving_fails_when_its_last_attempt_did(
    archived: float | None, failed: float | None, status: Status
) -> None:
    archiver = Archiver(failed=3, last_failed="0001", archived_age=archived, failed_age=failed)
    (finding,) = judge(archiver=archiver)
    assert finding.status is status
    assert cause(finding) == ("" if status is Status.OK else "archive.failing")


def test_a_slot_and_an_archive_are_two_findings() -> None:
    archiver = Archiver(failed=1, failed_age=1.0)
    found = judge(slot(11 * GIB), archiver=archiver)
    assert [cause(one) for one in found] == ["slot.retains_wal", "archive.failing"]
