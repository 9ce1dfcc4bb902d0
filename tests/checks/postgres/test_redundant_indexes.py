"""postgres.redundant_indexes: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, run

from backend_doctor import Finding, Status, Step
from backend_doctor.backends.postgres.schema_indexes import SchemaIndex, SchemaIndexes

MIB = 128


def index(name: str, **fields: Any) -> SchemaIndex:
    usual = {"schema": "public", "table": "orders", "columns": ("created",), "pages": 10 * MIB}
    return SchemaIndex(**{**usual, **fields, "name": name})


def judge(*group: SchemaIndex, **fields: Any) -> Finding:
    (finding,) = run("redundant_indexes", SchemaIndexes(twins=(group,) if group else (), **fields))
    return finding


def dropped(finding: Finding) -> list[str]:
    return [
        remedy.command.partition("public")[2][3:-2]
        for remedy in finding.remedies
        if remedy.step is Step.CURE
    ]


def test_a_twin_is_named_with_the_one_that_stays() -> None:
    finding = judge(index("one", scans=5), index("two", scans=9))
    assert (finding.status, cause(finding)) == (Status.WARNING, "index.duplicate")
    assert evidence(finding, "duplicate_index") == "one"
    assert evidence(finding, "kept_index") == "two"
    assert evidence(finding, "duplicate_bytes") == 10 * 2**20
    assert dropped(finding) == ["one"]
    assert [subject.value for subject in finding.subjects] == ["public.orders"]
    assert finding.remedies[1].command == (
        'SET lock_timeout = \'30s\';\nDROP INDEX CONCURRENTLY "public"."one";'
    )


@pytest.mark.parametrize(("pages", "status"), [(MIB - 1, Status.OK), (MIB, Status.WARNING)])
def test_small_ones_are_a_note(pages: int, status: Status) -> None:
    finding = judge(index("one", pages=pages), index("two", pages=pages))
    assert finding.status is status
    if status is Status.OK:
        assert finding.notes == ("1 small twins: two = one",)
        assert finding.measures[0].value == pages * 8192


def test_what_a_constraint_needs_stays_though_it_is_used_less() -> None:
    finding = judge(index("used", scans=9), index("pkey", unique=True, constrained=True))
    assert dropped(finding) == ["used"]


def test_uniqueness_stays_with_one_of_them() -> None:
    plain, unique = index("plain", scans=9), index("unique", unique=True)
    assert dropped(judge(plain, unique)) == ["plain"]
    assert dropped(judge(index("pkey", unique=True, constrained=True), unique)) == ["unique"]


@pytest.mark.parametrize(
    "keep", [{"immediate": False}, {"nulls_equal": True}], ids=["deferred", "nulls not distinct"]
)
def test_a_unique_one_that_says_more_is_not_dropped(keep: dict[str, bool]) -> None:
    finding = judge(index("key", unique=True, constrained=True, **keep), index("u", unique=True))
    assert finding.status is Status.OK
    assert "each its own: u = key" in finding.notes[0]


def test_two_constraints_are_only_noted() -> None:
    finding = judge(index("a", constrained=True), index("b", constrained=True))
    assert (finding.status, finding.measures[0].value) == (Status.OK, 0)


def test_a_partitioned_index_cannot_be_dropped_concurrently() -> None:
    finding = judge(index("one", partitioned=True), index("two", partitioned=True))
    (command,) = [r.command for r in finding.remedies if r.step is Step.CURE]
    assert command == 'SET lock_timeout = \'2s\';\nDROP INDEX "public"."two";'


def test_the_beginning_of_a_wider_one_is_a_note() -> None:
    finding = judge(prefixes=(index("a", wider="a_b"),))
    assert finding.status is Status.OK
    assert "a (10.0 MiB) of a_b" in finding.notes[0]


def test_hostile_names_stay_names() -> None:
    finding = judge(index("a", scans=1), index(HOSTILE))
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    assert finding.remedies[1].command.endswith(f'CONCURRENTLY "public".{quoted};')
    assert "E'\"public\".\"x''); DROP" in finding.remedies[0].command
