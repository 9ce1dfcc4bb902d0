import re
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from tests.reports import examples
from tests.reports.strategies import HOSTILE, reports

from backend_doctor.model import Cause, Confidence, Finding, Measure, Report, Status
from backend_doctor.reports import RenderOptions, render

ENDED = 1795370411.2  # 2026-11-22T18:00:11.2Z


def samples(report: Report, previous_success: float = 0.0) -> list[Sample]:
    rendered = render("prometheus", report, RenderOptions(previous_success=previous_success))
    families = list(text_string_to_metric_families(rendered))
    return [sample for family in families for sample in family.samples]


def values(report: Report, name: str, previous_success: float = 0.0) -> dict[str, float]:
    """A metric's values by target."""
    return {
        sample.labels.get("target", ""): sample.value
        for sample in samples(report, previous_success)
        if sample.name == f"backend_doctor_{name}"
    }


def promtool(report: Report) -> tuple[int, str]:
    """Exit code (0 clean, 1 not the format, 3 lint) and complaints of Prometheus' own linter."""
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: install Debian's package prometheus"
    run = subprocess.run(
        [tool, "check", "metrics"],
        input=render("prometheus", report, RenderOptions()).encode(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    return run.returncode, (run.stdout + run.stderr).decode()


@pytest.mark.parametrize("name", examples.ALL)
def test_promtool_has_nothing_to_say(name: str) -> None:
    assert promtool(examples.ALL[name]) == (0, "")


def test_promtool_reads_what_hostile_names_become() -> None:
    finding = Finding(
        status=Status.CRITICAL,
        summary="x",
        cause=Cause(label="x", confidence=Confidence.LIKELY, because="x"),
        measures=tuple(Measure(name=text, value=1) for text in HOSTILE),
    )
    results = tuple(
        examples.result(number, text, finding, instance=text, service=text)
        for number, text in enumerate(HOSTILE)
    )
    code, complaints = promtool(examples.report(results))
    assert code in (0, 3), complaints


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(report=reports)
def test_any_report_parses_and_no_series_comes_twice(report: Report) -> None:
    found = samples(report)
    keys = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in found}
    assert len(keys) == len(found)
    assert all(re.fullmatch(r"backend_doctor_[a-z0-9_]*", sample.name) for sample in found)


def test_each_check_is_in_exactly_one_state() -> None:
    states: dict[tuple[str, str], dict[str, float]] = {}
    for sample in samples(examples.TWO_CRITICALS):
        if sample.name == "backend_doctor_check_status":
            key = (sample.labels["check"], sample.labels["target"])
            states.setdefault(key, {})[sample.labels["status"]] = sample.value
    assert all(set(state) == set(Status) for state in states.values())
    assert all(sum(state.values()) == 1 for state in states.values())
    assert states["postgres.pool_exhaustion", "shop.postgres.postgres"]["critical"] == 1
    assert states["postgres.reachable", "shop.postgres.postgres"]["ok"] == 1


def test_only_roots_are_causes() -> None:
    causes = [
        sample.labels["cause"]
        for sample in samples(examples.TWO_CRITICALS)
        if sample.name == "backend_doctor_cause"
    ]
    assert causes == ["leak.idle_in_transaction", "redis.maxclients"]


def test_up_tells_who_answered() -> None:
    assert values(examples.UNREACHABLE, "up") == {
        "shop.postgres.postgres": 0,
        "shop.redis.redis": 1,
    }


def test_measures_become_gauges_ratios_and_counters() -> None:
    report, target = examples.TWO_CRITICALS, "shop.postgres.postgres"
    assert values(report, "postgres_connections_used") == {target: 27}
    assert values(report, "postgres_connections_used_ratio") == {target: 1}
    assert values(report, "postgres_commits_total") == {target: 12345}


def test_timestamps_of_a_completed_run_are_its_end() -> None:
    assert values(examples.FIFTEEN, "last_run_timestamp_seconds") == {"": ENDED}
    assert values(examples.FIFTEEN, "last_success_timestamp_seconds", 99.0) == {"": ENDED}
    assert values(examples.FIFTEEN, "run_duration_seconds") == {"": 11.2}


def test_an_interrupted_run_keeps_the_former_success() -> None:
    report = examples.INTERRUPTED
    assert values(report, "last_run_timestamp_seconds") == {"": ENDED}
    assert values(report, "last_success_timestamp_seconds") == {"": 0}
    assert values(report, "last_success_timestamp_seconds", 99.0) == {"": 99}


def test_labels_name_nothing_that_a_finding_is_about() -> None:
    rendered = render("prometheus", examples.TWO_CRITICALS, RenderOptions())
    for word in ("4211", "billing", "SELECT", "127.0.0.1"):
        assert word not in rendered
