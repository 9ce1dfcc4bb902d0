"""The scorer on what stands beneath a cause, and on what has no cause that can be seen."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.scenarios.score import Expected, Verdict, judge
from tests.scenarios.summary import passed
from tests.scenarios.test_score import evidence, finding, report, row
from tests.scenarios.truth import load_truth

POOL_SEEN: Mapping[str, list[Any]] = {
    "pool_size": [2],
    "sessions_of_application": [2],
    "free_slots": [23],
}


def masked(under: str | None, *kinds: str) -> dict[str, Any]:
    shared = [{"kind": kind, "value": "/orders"} for kind in kinds]
    fold = {"under": under, "shared": shared} if under else None
    return {"explained_by": fold, "backend": "cors", "evidence": [], "remedies": []}


def pool_and_symptoms(**cors: Any) -> Mapping[str, Any]:
    fold = {"under": "f-pool.undersized", "shared": [{"kind": "endpoint", "value": "/orders"}]}
    given = [evidence("pool_connections", 2), evidence("sessions_of_application", 2)]
    cure = {"command": "create_async_engine(url, pool_size=4)", "effect": "more connections"}
    root = finding("pool.undersized", backend="http", evidence=given, remedies=[cure])
    error = finding("http.server_error", backend="http", evidence=[], explained_by=fold)
    error["remedies"] = []
    symptom = finding("cors.error_masks_5xx", **cors)
    said = report({**root, "explained_by": None}, error, symptom)
    return {**said, "causes": said["causes"][:1]}


@pytest.mark.parametrize(
    ("cors", "well"),
    [
        (masked("f-pool.undersized", "endpoint"), True),
        (masked("f-pool.undersized", "application"), False),
        (masked("f-http.server_error", "endpoint"), False),
        (masked(None), False),
    ],
)
def test_a_symptom_must_stand_beneath_the_cause(cors: dict[str, Any], well: bool) -> None:
    truth = load_truth().scenarios["X04"]
    expected = Expected("shop", "http", truth, POOL_SEEN)
    verdict = judge(pool_and_symptoms(**cors), [expected], load_truth(), twin=False)
    assert verdict.top1
    assert (not verdict.unfolded, verdict.ok) == (well, well)
    assert passed([row(replace(verdict, missed=()))]) is well


GROWING: Mapping[str, list[Any]] = {"bytes_per_minute": [118e6, 122e6], "pid": [77]}


def growth(label: str | None, status: str, value: float) -> Verdict:
    given = [evidence("bytes_per_minute", value, "memory of python (pid 77): 60 MB more")]
    said = finding(
        label, check="process.memory_growth", backend="process", status=status, evidence=given
    )
    said["remedies"] = []
    expected = Expected("shop", "process", load_truth().scenarios["M01"], GROWING)
    return judge(report(said), [expected], load_truth(), twin=False)


def test_a_trend_whose_cause_cannot_be_seen_is_noted_and_no_more() -> None:
    noted = growth(None, "ok", 120e6)
    assert noted.ok
    assert noted.evidence_hits == 2
    assert not noted.unsafe
    assert not growth(None, "warning", 120e6).ok
    assert not growth("mem.unbounded_cache", "warning", 120e6).ok
    assert growth(None, "ok", 50e6).missed
