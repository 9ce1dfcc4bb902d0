"""postgres.xmin_horizon: facts in, findings out."""

import pytest
from tests.checks.postgres.builders import cause, evidence, run
from tests.checks.postgres.vacuum_facts import holder, horizon, prepared, slot, standby

from backend_doctor import Finding, Status
from backend_doctor.backends.postgres.horizon import Holder

MILLION = 1_000_000
SLOT, STANDBY = "xmin.held_by_slot", "xmin.held_by_standby"


def judge(*holders: Holder) -> list[Finding]:
    return run("xmin_horizon", horizon(*holders))


def test_nothing_held_is_fine() -> None:
    (finding,) = judge()
    assert (finding.status, finding.measures[0].value) == (Status.OK, 0)


@pytest.mark.parametrize(
    ("one", "status", "label"),
    [
        (slot(xids=49 * MILLION), Status.OK, ""),
        (slot(xids=50 * MILLION), Status.WARNING, SLOT),
        (slot(xids=200 * MILLION), Status.CRITICAL, SLOT),
        (slot(xids=None, catalog_xids=60 * MILLION, active=True), Status.WARNING, SLOT),
        (slot(xids=60 * MILLION, active=True), Status.WARNING, STANDBY),
        (slot(seconds=3599.0), Status.OK, ""),
        (slot(seconds=3600.0), Status.WARNING, SLOT),
        (slot(seconds=3600.0, active=True), Status.OK, ""),
        (slot(seconds=1e6, xids=9_999), Status.OK, ""),
        (standby(), Status.OK, ""),
        (standby(xids=60 * MILLION), Status.WARNING, STANDBY),
        (holder(11, xids=60 * MILLION), Status.OK, ""),
        (prepared(xids=60 * MILLION), Status.OK, ""),
    ],
)
def test_slots_and_standbys_by_age(one: Holder, status: Status, label: str) -> None:
    (finding,) = judge(one)
    assert (finding.status, cause(finding)) == (status, label)
    assert finding.measures[0].value == max(one.xids or 0, one.catalog_xids or 0)


def test_a_forgotten_slot_is_dropped_only_while_nobody_uses_it() -> None:
    (finding,) = judge(slot("it's", xids=60 * MILLION))
    assert evidence(finding, "holder_xids") == 60 * MILLION
    assert "slot_name = 'it''s' AND NOT active" in finding.remedies[0].command
    assert [(s.kind, s.value) for s in finding.subjects] == [("slot", "it's")]


def test_a_standby_is_not_ended_but_its_query() -> None:
    (finding,) = judge(standby(xids=60 * MILLION))
    assert not any("drop" in remedy.command for remedy in finding.remedies)
    assert "on the standby" in finding.remedies[0].command
