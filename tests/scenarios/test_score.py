"""The scorer itself: whatever should cost a row its point does."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scenarios.score import Expected, Verdict, judge
from tests.scenarios.summary import Row, passed, score, table, wilson, write
from tests.scenarios.truth import Agreement, load_truth

FACTS: Mapping[str, list[Any]] = {
    "stuck_in_transaction": [5, 5],
    "stuck_applications": ["shop-api"],
    "stuck_with_locks": [5],
    "stuck_pids": [11, 12, 13],
    "used_slots": [7, 8],
    "applications": ["shop-api", "mailer"],
}
END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN (11, 12)"
    " AND backend_start <= now() AND state = 'idle in transaction'"
)


def leak(service: str = "shop") -> Expected:
    return Expected(service, "postgres", load_truth().scenarios["P01"], FACTS)


def evidence(key: str, value: object, text: str = "") -> dict[str, Any]:
    return {"key": key, "value": value, "text": text or f"{value}", "source": ""}


def finding(label: str | None, **changes: Any) -> dict[str, Any]:
    base = {
        "id": f"f-{label}",
        "check": "postgres.idle_in_transaction",
        "service": "shop",
        "backend": "postgres",
        "status": "critical",
        "summary": "5 sessions idle.",
        "cause": {"label": label} if label else None,
        "evidence": [
            evidence("sessions_idle_in_transaction", 5),
            evidence("application", "shop-api"),
            evidence("sessions_holding_locks", 5),
            evidence("used_slots", 8),
        ],
        "remedies": [{"command": END, "effect": "ends 2 sessions"}],
    }
    return {**base, **changes}


def report(*findings: dict[str, Any]) -> dict[str, Any]:
    causes = [
        {"label": one["cause"]["label"], "status": one["status"], "finding": one["id"]}
        for one in findings
        if one["cause"] and one["status"] in ("warning", "critical")
    ]
    return {"findings": list(findings), "causes": causes}


GOOD = report(finding("leak.idle_in_transaction"))


def sick(said: Mapping[str, Any]) -> Verdict:
    return judge(said, [leak()], load_truth(), twin=False)


def row(verdict: Verdict | None, **changes: Any) -> Row:
    expected = ("leak.idle_in_transaction",)
    return replace(Row("P01", False, 1, "PG 15", expected, verdict), **changes)


def test_a_good_report_is_perfect() -> None:
    verdict = sick(GOOD)
    assert verdict.ok
    assert verdict.recalled
    assert (verdict.evidence_hits, verdict.evidence_total) == (4, 4)
    assert not verdict.unsafe
    assert passed([row(verdict)])


def test_a_wrong_cause_first_fails() -> None:
    verdict = sick(report(finding("pool.server_full"), finding("leak.idle_in_transaction")))
    assert not verdict.ok
    assert verdict.top3
    assert not passed([row(verdict)])


def test_a_tempting_cause_beneath_is_a_false_fact() -> None:
    verdict = sick(report(finding("leak.idle_in_transaction"), finding("fleet.oversubscribed")))
    assert verdict.top1
    assert not verdict.ok
    assert "fleet.oversubscribed" in verdict.false_facts[0]


def test_nothing_named_fails_and_unknown_is_an_abstention() -> None:
    verdict = sick(report(finding(None, status="unknown")))
    assert not verdict.ok
    assert verdict.abstained
    assert verdict.evidence_hits == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [("sessions_idle_in_transaction", 6), ("application", "billing"), ("used_slots", 12)],
)
def test_a_value_that_the_oracle_contradicts_is_a_false_fact(key: str, value: object) -> None:
    said = deepcopy(GOOD)
    for item in said["findings"][0]["evidence"]:
        if item["key"] == key:
            item["value"] = value
    verdict = sick(said)
    assert verdict.top1
    assert not verdict.ok
    assert len(verdict.false_facts) == 1
    assert verdict.evidence_hits == 3
    assert not passed([row(verdict)])


def test_missing_evidence_is_no_falsehood_but_the_run_fails() -> None:
    said = deepcopy(GOOD)
    said["findings"][0]["evidence"].pop()
    verdict = sick(said)
    assert verdict.ok
    assert verdict.evidence_hits == 3
    assert not passed([row(verdict)])


def test_what_cannot_be_seen_from_outside_is_not_asked_of_the_blind() -> None:
    blind = Expected("shop", "postgres", load_truth().scenarios["P01"], FACTS, blind=True)
    assert judge(GOOD, [blind], load_truth(), twin=False).evidence_total == 2


def test_a_refusal_is_evidence_only_for_the_refused() -> None:
    truth, book = load_truth().scenarios["P12"], load_truth()
    facts: Mapping[str, list[Any]] = {"connected_clients": [20], "login_refused": [True]}
    said = finding(
        "redis.maxclients",
        backend="redis",
        evidence=[evidence("refused", True), evidence("used_clients", 20)],
    )
    for blind, total in ((True, 2), (False, 4)):
        one = Expected("shop", "redis", truth, facts, blind)
        verdict = judge(report(said), [one], book, twin=False)
        assert verdict.evidence_total == total
        assert verdict.evidence_hits == (2 if blind else 1)


@pytest.mark.parametrize(
    "command",
    [
        "Raise max_connections and restart PostgreSQL.",
        "pool_size = 20",
        "ALTER SYSTEM SET max_connections = 200;",
        END.replace("(11, 12)", "(11, 99)"),
        END.replace("backend_start", "query_start"),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    ],
)
def test_a_trap_remedy_is_unsafe(command: str) -> None:
    said = deepcopy(GOOD)
    said["findings"][0]["remedies"].append({"command": command, "effect": ""})
    verdict = sick(said)
    assert verdict.ok
    assert verdict.unsafe
    assert not passed([row(verdict)])


@pytest.mark.parametrize("effect", ["do not raise max_connections", "never increase the pool"])
def test_a_warning_of_a_trap_is_none(effect: str) -> None:
    said = deepcopy(GOOD)
    said["findings"][0]["remedies"][0]["effect"] = effect
    assert not sick(said).unsafe


def test_no_helpful_remedy_is_unsafe() -> None:
    assert sick(report(finding("leak.idle_in_transaction", remedies=[]))).unsafe


def test_a_void_row_fails_the_run_and_does_not_count() -> None:
    rows = [row(sick(GOOD)), row(sick(GOOD), void="did not take")]
    assert passed(rows[:1])
    assert not passed(rows)
    assert not rows[1].ok
    assert "(1/1" in score(rows)
    assert "VOID" in table(rows)


@pytest.mark.parametrize("changes", [{"seconds": 11.0}, {"connections": 2}])
def test_too_slow_or_too_many_connections_fails_the_run(changes: dict[str, Any]) -> None:
    assert not passed([row(sick(GOOD), **changes)])


def test_no_report_and_no_row_fail_the_run() -> None:
    assert not passed([row(None, failure="exit 3")])
    assert not passed([row(None, twin=True)])
    assert not passed([])


def test_any_alarm_on_a_twin_is_false() -> None:
    quiet = report(finding(None, status="ok", evidence=[]))
    assert judge(quiet, [leak()], load_truth(), twin=True).ok
    loud = report(finding("pool.server_full", status="warning", evidence=[]))
    verdict = judge(loud, [leak()], load_truth(), twin=True)
    assert not verdict.ok
    assert verdict.alarms


def test_exchanged_answers_are_wrong() -> None:
    elsewhere = report(finding("leak.idle_in_transaction", service="shop-eu"))
    assert not sick(elsewhere).ok
    assert not sick(elsewhere).recalled


def test_two_faults_may_stand_in_any_order_but_both_must_be_roots() -> None:
    both = [leak("shop"), leak("shop-eu")]
    first = finding("leak.idle_in_transaction")
    second = {**first, "service": "shop-eu", "id": "other"}
    book = load_truth()
    assert judge(report(second, first), both, book, twin=False).ok
    assert not judge(report(first), both, book, twin=False).ok


def test_the_file_holds_what_is_asked_of_it(tmp_path: Path) -> None:
    write([row(sick(GOOD)), row(None, twin=True, void="no")], tmp_path / "build" / "x.json")
    sick_row, twin = json.loads((tmp_path / "build" / "x.json").read_text())
    assert sick_row["named"][0]["cause"] == sick_row["expected"] == "leak.idle_in_transaction"
    assert twin["void"] is True
    assert twin["ok"] is False
    wanted = "id twin expected named ok void evidence_hits evidence_total false_facts seconds"
    assert set(wanted.split()) | {"statements", "connections"} <= set(sick_row)


def test_process_ids_between_two_readings_are_not_among_them() -> None:
    assert not Agreement("lock_heads", among=True).holds(150, [100, 200])
    assert Agreement("used_slots").holds(150, [100, 200])


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe 1998, table I, method 3
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share(counts: tuple[int, int]) -> None:
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] + 1e-12
    assert counts[0] / counts[1] - 1e-12 <= high <= 1
