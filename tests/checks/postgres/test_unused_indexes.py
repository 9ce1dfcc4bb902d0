"""postgres.unused_indexes: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import cause, evidence, run

from backend_doctor import Confidence, Finding, Status, Step
from backend_doctor.backends.postgres.schema_indexes import SchemaIndex, SchemaIndexes

DAY = 86_400.0
LARGE = 100 * 128


def index(name: str = "orders_note", **fields: Any) -> SchemaIndex:
    usual = {"schema": "public", "table": "orders", "columns": ("note",), "pages": LARGE}
    return SchemaIndex(**{**usual, **fields, "name": name})


def judge(*unread: SchemaIndex, **fields: Any) -> Finding:
    usual = {"statistics_seconds": 40 * DAY, "database_pages": 50 * LARGE}
    (finding,) = run("unused_indexes", SchemaIndexes(unread=unread, **{**usual, **fields}))
    return finding


def test_a_large_one_that_nobody_read_for_long() -> None:
    finding = judge(index(writes=7), replicas=2)
    assert (finding.status, cause(finding)) == (Status.WARNING, "index.unused")
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.POSSIBLE
    assert evidence(finding, "unused_index") == "orders_note"
    assert evidence(finding, "statistics_days") == 40
    assert "7 writes" in finding.evidence[0].text
    assert finding.notes[0] == "2 replicas are attached now"
    assert any("month" in note for note in finding.notes)
    assert [remedy.step for remedy in finding.remedies] == [Step.CONFIRM, Step.CURE]
    assert finding.measures[0].value == 100 * 2**20


@pytest.mark.parametrize(
    "fields",
    [
        {"statistics_seconds": 29.9 * DAY},
        {"in_recovery": True},
        {"database_pages": 101 * LARGE},
    ],
    ids=["young statistics", "standby", "small share"],
)
def test_no_verdict_but_a_note(fields: dict[str, Any]) -> None:
    finding = judge(index(), **fields)
    assert (finding.status, cause(finding)) == (Status.OK, "")
    assert "never used so far: orders_note (100.0 MiB)" in finding.notes[0]
    assert "replica" in finding.notes[1]


def test_young_statistics_are_named_as_the_reason() -> None:
    assert "cover 3.0 days" in judge(index(), statistics_seconds=3 * DAY).notes[0]


def test_a_small_one_is_no_matter() -> None:
    assert judge(index(pages=LARGE - 1)).status is Status.OK


def test_all_are_used() -> None:
    assert judge().notes == ()
