"""postgres.stale_statistics: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import cause, evidence, run
from tests.checks.postgres.vacuum_facts import activity, table

from backend_doctor import Finding, Status, Step
from backend_doctor.backends.postgres.table_activity import TableActivity


def judge(seen: TableActivity) -> Finding:
    (finding,) = run("stale_statistics", seen)
    return finding


def test_a_table_that_was_changed_all_over_is_named() -> None:
    finding = judge(activity(table("small", changed=60_000), table(changed=90_000)))
    assert (finding.status, cause(finding)) == (Status.WARNING, "stats.stale")
    assert evidence(finding, "changes_since_analyze") == 90_000
    assert evidence(finding, "table") == "public.orders"
    assert finding.remedies[0].step is Step.CURE
    assert finding.remedies[0].command == 'ANALYZE "public"."orders";\nANALYZE "public"."small";'
    assert ("table", "public.orders") in {(s.kind, s.value) for s in finding.subjects}


@pytest.mark.parametrize(
    "fields",
    [
        {"changed": 0, "analyzed": 1e8},
        {"changed": 49_999},
        {"changed": 90_000, "analyzed": 100.0},
        {"changed": 9_000, "rows": 9_000, "analyze_at": 50},
        {"changed": 90_000, "analyze_at": 20_000},
    ],
    ids=["old only", "few changes", "just now", "small table", "its own threshold"],
)
def test_age_alone_small_tables_and_fresh_changes_are_fine(fields: dict[str, Any]) -> None:
    assert judge(activity(table(**fields))).status is Status.OK


def test_what_is_merely_due_is_a_note() -> None:
    finding = judge(activity(table(changed=20_000)))
    assert finding.status is Status.OK
    assert finding.notes == ("public.orders: 20000 changes, analyze is due",)
    assert finding.measures[0].value == 0.2


@pytest.mark.parametrize(("uptime", "status"), [(100.0, Status.OK), (200.0, Status.WARNING)])
def test_one_never_analyzed_has_had_the_time_since_the_start(uptime: float, status: Status) -> None:
    loaded = table(changed=100_000, analyze_at=50, analyzed=None)
    assert judge(activity(loaded, uptime=uptime)).status is status


def test_where_autovacuum_may_not_come_nobody_waits_for_it() -> None:
    off = table(changed=100_000, analyzed=1.0, autovacuum=False)
    finding = judge(activity(off, uptime=5.0))
    assert cause(finding) == "stats.stale"
    assert "RESET (autovacuum_enabled)" in finding.remedies[-1].command
    everywhere = judge(activity(table(changed=100_000, analyzed=1.0), autovacuum=False))
    assert "ALTER SYSTEM SET autovacuum = on" in everywhere.remedies[-1].command
