import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from tests.reports import examples
from tests.reports.strategies import reports

from backend_doctor.model import Report
from backend_doctor.reports import RenderOptions, render

SCHEMA = json.loads(files("backend_doctor.reports").joinpath("report.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def document(report: Report, **options: Any) -> dict[str, Any]:
    rendered = render("json", report, RenderOptions(**options))
    parsed: dict[str, Any] = json.loads(rendered, parse_constant=_refuse)
    VALIDATOR.validate(parsed)
    return parsed


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", examples.ALL)
def test_every_shape_validates(name: str) -> None:
    document(examples.ALL[name])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(report=reports)
def test_every_report_validates_whatever_a_target_said(report: Report) -> None:
    assert len(document(report)["findings"]) == len(report.results)


def test_the_schema_refuses_what_is_not_a_report() -> None:
    good = document(examples.TWO_CRITICALS)
    for broken in (
        {**good, "schema_version": 2},
        {**good, "status": "fine"},
        {name: value for name, value in good.items() if name != "causes"},
        {**good, "findings": [{**good["findings"][0], "summary": None}]},
    ):
        assert not VALIDATOR.is_valid(broken)
    assert VALIDATOR.is_valid({**good, "added_later": 1})


def test_the_schema_describes_every_field() -> None:
    good = document(examples.TWO_CRITICALS)
    finding = SCHEMA["$defs"]["finding"]["properties"]
    assert set(good) == set(SCHEMA["properties"])
    assert set(good["findings"][0]) == set(finding)
    assert set(good["targets"][0]) == set(SCHEMA["$defs"]["target"]["properties"])
    for name in ("evidence", "remedies", "measures"):
        assert set(good["findings"][0][name][0]) == set(finding[name]["items"]["properties"])


def test_causes_are_the_roots_in_order() -> None:
    found = document(examples.TWO_CRITICALS)
    assert [(cause["label"], cause["status"]) for cause in found["causes"]] == [
        ("leak.idle_in_transaction", "critical"),
        ("redis.maxclients", "critical"),
    ]
    assert (found["status"], found["exit_code"]) == ("critical", 2)
    assert found["findings"][0]["explained_by"] is None
    slow = next(item for item in found["findings"] if item["check"] == "postgres.slow")
    assert slow["explained_by"] == {"under": "f1", "shared": [{"kind": "pid", "value": "4211"}]}


def test_a_cause_that_is_ok_is_not_named() -> None:
    assert document(examples.HEALTHY)["causes"] == []


def test_commands_keep_their_lines() -> None:
    remedies = document(examples.TWO_CRITICALS)["findings"][0]["remedies"]
    assert [remedy["step"] for remedy in remedies] == ["stop", "cure", "prevent"]
    assert remedies[0]["command"] == examples.TERMINATE


def test_an_interrupted_run_says_why() -> None:
    found = document(examples.INTERRUPTED, exit_code=130)
    assert found["run"]["interrupted"] == "the deadline of 30 s has passed"
    assert (found["status"], found["exit_code"]) == ("unknown", 130)
