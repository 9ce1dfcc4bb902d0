"""postgres.foreign_keys: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, run, writes

from backend_doctor import Confidence, Finding, Looks, Status, Step
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.foreign_keys import ForeignKey, ForeignKeys


def key(**fields: Any) -> ForeignKey:
    usual = {
        "schema": "public",
        "table": "orders",
        "name": "orders_customer_id_fkey",
        "columns": ("customer_id",),
        "parent_schema": "public",
        "parent": "customers",
        "rows": 50_000.0,
        "parent_rows": 5_000.0,
        "parent_deletes": 3,
        "indexes": ("orders_pkey",),
    }
    return ForeignKey(**{**usual, **fields})


def judge(*lacking: ForeignKey, counters: Looks[Counters] | None = None, **limits: Any) -> Finding:
    fact = ForeignKeys(
        keys=9, count=len(lacking), statistics_seconds=86_400.0, lacking=tuple(lacking)
    )
    (finding,) = run("foreign_keys", fact, counters, **limits)
    return finding


def cures(finding: Finding) -> list[str]:
    return [remedy.command for remedy in finding.remedies if remedy.step is Step.CURE]


def test_a_large_child_of_a_parent_with_deletes() -> None:
    finding = judge(key())
    assert (finding.status, cause(finding)) == (Status.WARNING, "index.missing_on_foreign_key")
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.CERTAIN
    assert evidence(finding, "unindexed_foreign_key") == "public.orders"
    assert evidence(finding, "rows") == 50_000
    assert evidence(finding, "parent_deletes") == 3
    assert "1.0 days" in finding.evidence[0].text
    assert [subject.value for subject in finding.subjects] == ["public.orders"]
    assert finding.measures[0].value == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"rows": 9_999.0}, "ok"),
        ({"rows": 10_000.0}, "warning"),
        ({"parent_deletes": 0}, "ok"),
        ({"parent_deletes": 0, "parent_updates": 1}, "warning"),
        ({"parent_deletes": 0, "rows": 999_999.0}, "ok"),
        ({"parent_deletes": 0, "rows": 1_000_000.0}, "warning"),
        ({"parent_deletes": 0, "rows": 1e6, "parent_rows": 99.0}, "ok"),
        ({"parent_deletes": 1, "rows": 1e6, "parent_rows": 99.0}, "warning"),
    ],
)
def test_size_and_changes_of_the_parent_decide(fields: dict[str, Any], status: str) -> None:
    finding = judge(key(**fields))
    assert finding.status is Status(status)
    if status == "ok":
        rows = fields.get("rows", 50_000)
        told = f"public.orders (customer_id) -> customers (about {rows:.0f} rows)"
        assert told in finding.notes[0]
        assert finding.measures[0].value == 0


def test_without_deletes_it_is_less_sure_and_says_so() -> None:
    finding = judge(key(parent_deletes=0, rows=2e6))
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY
    assert "0 deletes and 0 updates" in finding.evidence[0].text


def test_the_one_that_is_deleted_from_stands_first() -> None:
    finding = judge(key(table="items", parent_deletes=0, rows=2e6), key(), key(rows=10.0))
    assert finding.summary.endswith("about 50000 rows, and 1 more foreign key has none.")
    assert [e.value for e in finding.evidence[:2]] == ["public.orders", "public.items"]
    assert "small or without deletes of the parent" in finding.notes[-1]


def test_the_index_is_built_while_the_table_is_used() -> None:
    (command,) = cures(judge(key()))
    assert command.startswith("SET lock_timeout = '30s';\nCREATE INDEX CONCURRENTLY")
    assert '"orders_customer_id_idx"\n    ON "public"."orders" ("customer_id");' in command


def test_the_price_of_the_index_is_what_is_written_in_the_window() -> None:
    finding = judge(key(), counters=writes("orders", 1000, 1060))
    assert evidence(finding, "writes_per_second") == 12.0
    assert "(12.0 rows a second in the window)" in finding.remedies[-1].effect


@pytest.mark.parametrize(
    "counters",
    [None, writes("orders", 1000, 3), writes("others", 0, 10), writes("orders", None, 9)],
)
def test_without_two_counts_no_price_is_named(counters: Looks[Counters] | None) -> None:
    finding = judge(key(), counters=counters)
    assert "writes_per_second" not in {one.key for one in finding.evidence}
    assert "every write to the table pays for it." in finding.remedies[-1].effect


def test_a_taken_name_is_not_used_and_an_index_on_a_part_leads() -> None:
    two = key(
        columns=("a", "b"),
        extendable="orders_b",
        leading=("b",),
        indexes=("orders_b", "orders_b_a_idx"),
    )
    (remedy,) = [one for one in judge(two).remedies if one.step is Step.CURE]
    assert '"orders_b_a_idx1"' in remedy.command
    assert '("b", "a")' in remedy.command
    assert "orders_b and serves its queries too" in remedy.effect


def test_an_unfinished_index_is_built_again() -> None:
    (command,) = cures(judge(key(broken="orders_c")))
    assert 'REINDEX INDEX CONCURRENTLY "public"."orders_c";' in command


def test_a_partitioned_table_has_no_concurrent_build() -> None:
    (command,) = cures(judge(key(partitioned=True)))
    assert "ON ONLY" in command


def test_hostile_names_stay_names() -> None:
    (command,) = cures(judge(key(table=HOSTILE, columns=(HOSTILE,))))
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    assert f'ON "public".{quoted} ({quoted});' in command


def test_all_have_one() -> None:
    finding = judge()
    assert (finding.status, finding.notes) == (Status.OK, ())
