"""postgres.sequences: facts in, findings out; the remedies are tried on real servers."""

from typing import Any

import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, run
from tests.safety.client import Client

from backend_doctor import Absent, Finding, Status, Step
from backend_doctor.backends.postgres.sequences import Sequence, Sequences
from backend_doctor.demo.servers import PostgresServer

INT4, INT8 = 2**31 - 1, 2**63 - 1


def sequence(share: float, **fields: Any) -> Sequence:
    usual = {
        "schema": "public",
        "name": "orders_id_seq",
        "table_schema": "public",
        "table": "orders",
        "column": "id",
        "column_bytes": 4,
        "sequence_bytes": 8,
        "limit": INT4,
        "last": round(INT4 * share),
    }
    return Sequence(**{**usual, **fields})


def judge(*found: Sequence, **fields: Any) -> list[Finding]:
    usual = {"candidates": len(found), "role": "doctor"}
    return run("sequences", Sequences(sequences=found, **{**usual, **fields}))


def command(finding: Finding, step: Step) -> str:
    return next((one.command for one in finding.remedies if one.step is step), "")


@pytest.mark.parametrize(
    ("share", "status"),
    [(0.0, "ok"), (0.799, "ok"), (0.801, "warning"), (0.949, "warning"), (0.951, "critical")],
)
def test_thresholds_are_shares_of_the_values(share: float, status: str) -> None:
    (finding,) = judge(sequence(share))
    assert finding.status is Status(status)
    assert cause(finding) == ("" if status == "ok" else "sequence.exhausted")
    assert finding.measures[0].value == pytest.approx(share, abs=1e-4)


def test_the_finding_says_what_binds_it_and_what_is_left() -> None:
    (finding,) = judge(sequence(0.9))
    assert evidence(finding, "sequence") == "public.orders_id_seq"
    assert evidence(finding, "sequence_used_share") == 0.9
    assert evidence(finding, "values_left") == INT4 - round(INT4 * 0.9)
    assert "the type integer of its column public.orders.id" in finding.evidence[0].text
    assert [str(subject) for subject in finding.subjects] == ["table public.orders"]


def test_steps_and_direction_count() -> None:
    tens = Sequence(schema="s", name="n", limit=1000, maximum=1000, increment=10, last=801)
    assert (tens.left, round(tens.used, 2)) == (19, 0.81)
    down = Sequence(
        schema="s", name="n", minimum=-100, maximum=-1, limit=-100, increment=-1, last=-96
    )
    assert (down.left, down.used) == (4, 0.96)
    half = Sequence(schema="s", name="n", minimum=-(2**31), maximum=-1, limit=-1, last=-(2**30))
    assert half.used == pytest.approx(0.5)
    fresh = Sequence(schema="s", name="n", limit=10, maximum=10)
    assert (fresh.left, fresh.used) == (10, 0.0)


def test_a_value_beyond_the_columns_type_has_run_out() -> None:
    (finding,) = judge(sequence(0.0, last=INT4 + 5))
    assert finding.status is Status.CRITICAL
    assert "has run out: inserts fail" in finding.summary
    assert evidence(finding, "values_left") == 0


def test_one_that_was_never_used_is_fine() -> None:
    (finding,) = judge(sequence(0.0, last=None))
    assert finding.status is Status.OK


def test_each_sequence_is_a_finding_the_fullest_first() -> None:
    findings = judge(sequence(0.85), sequence(0.99, name="late"), sequence(0.1))
    assert [evidence(finding, "sequence") for finding in findings] == [
        "public.late",
        "public.orders_id_seq",
    ]
    assert [len(finding.measures) for finding in findings] == [1, 0]


def test_without_the_right_it_is_unknown_with_the_grant() -> None:
    with pytest.raises(Absent) as told:
        judge(sequence(0.0, last=None, readable=False))
    assert told.value.absence.remedy.startswith('GRANT pg_read_all_data TO "doctor";')


def test_what_is_seen_is_told_though_another_is_hidden() -> None:
    (finding,) = judge(sequence(0.99), sequence(0.0, name="hidden", readable=False, last=None))
    assert finding.status is Status.CRITICAL
    assert "cannot see how far 1 sequences are" in finding.notes[0]


def test_a_locked_one_is_noted() -> None:
    (finding,) = judge(sequence(0.0, last=None, locked=True))
    assert finding.status is Status.OK
    assert "public.orders_id_seq" in finding.notes[0]


def test_the_negative_half_is_offered_late_and_once() -> None:
    late, early = judge(sequence(0.99), sequence(0.85))
    assert "RESTART WITH -2147483648" in command(late, Step.STOP)
    assert command(early, Step.STOP) == ""
    (again,) = judge(sequence(0.0, minimum=-(2**31), maximum=-1, limit=-1, last=-5))
    assert (again.status, command(again, Step.STOP)) == (Status.CRITICAL, "")


def test_hostile_names_stay_names() -> None:
    (finding,) = judge(sequence(0.99, name=HOSTILE, table=HOSTILE, column=HOSTILE))
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    assert f'ALTER SEQUENCE "public".{quoted} ' in command(finding, Step.STOP)
    assert f'ALTER TABLE "public".{quoted} ALTER COLUMN {quoted} ' in command(finding, Step.CURE)


CASES = {
    "serial": ("id serial", {"sequence_bytes": 4, "maximum": INT4}),
    "identity": (
        "id int GENERATED ALWAYS AS IDENTITY",
        {"sequence_bytes": 4, "maximum": INT4, "identity": True},
    ),
    "old serial": ("id int DEFAULT nextval('wide.orders_id_seq')", {}),
    "narrow sequence": (
        "id bigint DEFAULT nextval('wide.orders_id_seq')",
        {"sequence_bytes": 4, "column_bytes": 8, "maximum": INT4},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cure_makes_room_on_a_real_server(case: str, postgres18: PostgresServer) -> None:
    column, fields = CASES[case]
    (finding,) = judge(sequence(0.99, schema="wide", table_schema="wide", **fields))
    with Client(postgres18.admin_url()) as owner:
        owner.do("CREATE SCHEMA wide")
        try:
            if "nextval" in column:
                kind = "integer" if fields else "bigint"
                owner.do(f"CREATE SEQUENCE wide.orders_id_seq AS {kind}")
            owner.do(f"CREATE TABLE wide.orders ({column}, note text)")
            owner.do(f"SELECT setval('wide.orders_id_seq', {INT4})")
            owner.do(command(finding, Step.CURE))
            insert = "INSERT INTO wide.orders (note) VALUES ('x') RETURNING id"
            assert owner.ask(insert) == INT4 + 1
        finally:
            owner.do("RESET lock_timeout; DROP SCHEMA wide CASCADE")
