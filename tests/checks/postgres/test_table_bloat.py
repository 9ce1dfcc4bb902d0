"""postgres.table_bloat: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, run

from backend_doctor import Confidence, Finding, Status, Step
from backend_doctor.backends.postgres.large_tables import LargeTable, LargeTables, row_bytes
from backend_doctor.backends.postgres.server_settings import ServerSettings

GIB = 2**30


def table(name: str = "orders", **fields: Any) -> LargeTable:
    """2.5 GiB, of which a quarter holds rows; a whole page of it holds 50."""
    usual: dict[str, Any] = {
        "schema": "public",
        "pages": 327_680,
        "rows": 50 * 81_920.0,
        "row_bytes": 163.0,
        "analyzed": 7200.0,
    }
    return LargeTable(**{**usual, **fields, "name": name})


def judge(*tables: LargeTable, installed: tuple[str, ...] = (), **limits: Any) -> Finding:
    facts = LargeTables(tables=tables, role='the "doctor"'), ServerSettings(installed=installed)
    (finding,) = run("table_bloat", *facts, **limits)
    return finding


def test_a_gibibyte_without_rows_is_told_as_an_estimate_to_be_confirmed() -> None:
    finding = judge(table())
    assert (finding.status, cause(finding)) == (Status.WARNING, "bloat.table")
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.POSSIBLE
    assert finding.summary == "public.orders is 75% unused by estimate, 1.9 GB of 2.5 GB."
    assert evidence(finding, "table") == "public.orders"
    assert evidence(finding, "unused_bytes_estimate") == pytest.approx(0.75 * 2.5 * GIB)
    assert all("estimate" in one.text for one in finding.evidence)
    assert [one.value for one in finding.subjects] == ["public.orders"]
    confirm, rewrite = finding.remedies
    assert (confirm.step, rewrite.step) == (Step.CONFIRM, Step.CURE)
    assert 'pgstattuple_approx(\'"public"."orders"\'::regclass)' in confirm.command
    assert confirm.command.startswith("CREATE EXTENSION pgstattuple;")
    assert confirm.changes_state
    assert "ACCESS EXCLUSIVE lock" in rewrite.effect
    assert "pg_repack does the same" in rewrite.effect


def test_extensions_that_are_there_are_used() -> None:
    confirm, rewrite = judge(table(), installed=("pg_repack", "pgstattuple")).remedies
    assert confirm.command.startswith("SELECT")
    assert not confirm.changes_state
    assert "pg_repack, which is installed, does" in rewrite.effect


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"fillfactor": 25}, ""),
        ({"rows": 50 * 163_841.0}, ""),
        ({"rows": 50 * 163_840.0, "pages": 12_799}, ""),
        ({"pages": 174_700, "rows": 50 * 43_675.0}, "advice only"),
        ({"analyzed": 3599.0}, "analyzed only 60 min ago"),
        ({"inserted": 17_000_000, "deleted": 16_384_000}, "its room is used again"),
        ({"analyzed": None}, "not analyzed"),
        ({"rows": -1.0}, "not analyzed"),
        ({"row_bytes": None}, "width is not known"),
        ({"changed": 1_638_401}, "being changed"),
        ({"dead": 1_638_401}, "being changed"),
    ],
)
def test_what_is_full_young_changing_or_turned_over_is_no_alarm(
    fields: dict[str, Any], note: str
) -> None:
    finding = judge(table(**fields))
    assert (finding.status, finding.cause, finding.remedies) == (Status.OK, None, ())
    assert len(finding.notes) == bool(note)
    assert all(note in one for one in finding.notes)


def test_an_emptied_queue_of_one_load_is_not_one_that_turns_over() -> None:
    assert judge(table(inserted=16_384_000, deleted=12_288_000)).status is Status.WARNING


def test_the_worst_comes_first_and_an_empty_file_is_all_unused() -> None:
    finding = judge(table("a"), table("b", rows=0.0), table("c", analyzed=5.0))
    assert finding.summary.startswith("public.b is 100% unused by estimate")
    assert [one.value for one in finding.subjects] == ["public.b", "public.a"]
    assert evidence(finding, "further_table") == "public.a"
    assert "public.c" in finding.notes[0]


def test_who_may_not_read_the_tables_is_told_what_would_help() -> None:
    hidden = table(row_bytes=None, readable=False)
    finding = judge(hidden, hidden)
    assert finding.status is Status.SKIPPED
    assert finding.remedies[0].command == 'GRANT pg_read_all_data TO "the ""doctor""";'
    finding = judge(hidden, table("b"))
    assert finding.summary.startswith("public.b")
    assert "may not read it" in finding.notes[0]


def test_hostile_names_stay_names() -> None:
    confirm, rewrite = judge(table(HOSTILE)).remedies
    quoted = '"public"."' + HOSTILE.replace('"', '""') + '"'
    assert rewrite.command.endswith(f"{quoted};")
    # a backslash makes it an E'' literal
    literal = quoted.replace("\\", "\\\\").replace("'", "''")
    assert f"E'{literal}'::regclass" in confirm.command


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([], 24 + 4),
        ([(4.0, True, "i")], 24 + 8 + 4),
        ([(1.0, True, "c"), (8.0, True, "d")], 24 + 16 + 4),
        ([(1.0, True, "c"), (8.0, False, "i")], 24 + 16 + 4),
        ([(4.0, True, "i")] * 9, 32 + 40 + 4),
        ([(4.0, True, "i"), (None, False, "i")], None),
    ],
)
def test_a_row_is_its_header_and_its_columns_where_they_may_begin(
    columns: list[Any], expected: float | None
) -> None:
    assert row_bytes(columns) == expected
