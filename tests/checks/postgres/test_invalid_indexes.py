"""postgres.invalid_indexes: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import cause, evidence, run

from backend_doctor import Absent, Finding, Status, Step
from backend_doctor.backends.postgres.schema_indexes import SchemaIndex, SchemaIndexes


def index(name: str = "orders_created", **fields: Any) -> SchemaIndex:
    usual = {"schema": "public", "table": "orders", "columns": ("created",), "pages": 1280}
    return SchemaIndex(**{**usual, **fields, "name": name})


def judge(*invalid: SchemaIndex, **fields: Any) -> Finding:
    (finding,) = run("invalid_indexes", SchemaIndexes(invalid=invalid, **fields))
    return finding


def cure(finding: Finding) -> str:
    (command,) = [remedy.command for remedy in finding.remedies if remedy.step is Step.CURE]
    return command


def test_an_unfinished_one_is_built_again() -> None:
    finding = judge(index())
    assert (finding.status, cause(finding)) == (Status.WARNING, "index.invalid")
    assert evidence(finding, "invalid_index") == "orders_created"
    assert 'REINDEX INDEX CONCURRENTLY "public"."orders_created";' in cure(finding)
    assert finding.measures[0].value == 1
    assert [subject.value for subject in finding.subjects] == ["public.orders"]


@pytest.mark.parametrize(
    "left",
    [index("orders_pkey_ccnew"), index("orders_pkey_ccold1"), index(twin="orders_created_2")],
    ids=["ccnew", "ccold", "twin"],
)
def test_what_is_replaced_or_left_behind_is_dropped(left: SchemaIndex) -> None:
    assert f'DROP INDEX CONCURRENTLY "public"."{left.name}";' in cure(judge(left))


def test_duplicates_are_told_of_for_a_unique_one() -> None:
    finding = judge(index(unique=True))
    assert "rows that are there twice must go first" in finding.remedies[1].effect


@pytest.mark.parametrize(("kept", "words"), [(True, "every write pays"), (False, "leave it out")])
def test_whether_writes_pay_is_said(kept: bool, words: str) -> None:
    assert words in judge(index(maintained=kept)).evidence[0].text


def test_one_that_is_being_built_is_fine() -> None:
    finding = judge(building=(index(),))
    assert (finding.status, finding.measures[0].value) == (Status.OK, 0)
    assert "being built or dropped now" in finding.notes[0]


def test_blind_it_is_not_guessed() -> None:
    with pytest.raises(Absent) as told:
        judge(index(), hidden_builds=1, role='do"ctor')
    assert told.value.absence.remedy == 'GRANT pg_monitor TO "do""ctor";'
    assert judge(hidden_builds=1, role="doctor").status is Status.OK
