"""Metrics in Prometheus' text format. No label ever holds SQL, a user or a process id."""

import datetime
import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from backend_doctor.model import Measure, Report, Result, Status, Target
from backend_doctor.reports import RenderOptions
from backend_doctor.reports.outline import outline
from backend_doctor.text import safe_text

LAST_SUCCESS = "backend_doctor_last_success_timestamp_seconds"
_HELP = {
    "backend_doctor_build_info": "The version that made these metrics.",
    "backend_doctor_up": "Whether the target answered and let us in (1) or not (0).",
    "backend_doctor_check_status": "1 for the state that a check found, 0 for the others.",
    "backend_doctor_cause": "1 for each root cause found by the last run.",
    "backend_doctor_run_duration_seconds": "How long the last run took.",
    "backend_doctor_last_run_timestamp_seconds": "When the last run ended, as Unix time.",
    LAST_SUCCESS: "When a run last completed, whatever it found; 0 for never.",
}
_Labels = dict[str, str]


def render(report: Report, options: RenderOptions) -> str:
    """The text exposition format; ``previous_success`` stands in when this run was cut short."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(report, options))
    return generate_latest(registry).decode("utf-8")


class _Families(Collector):
    """A report as metric families; of two samples with the same labels the first stays."""

    def __init__(self, report: Report, options: RenderOptions) -> None:
        self._families: dict[str, Metric] = {}
        self._seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for name, text in _HELP.items():
            self._families[name] = GaugeMetricFamily(name, text)
        self._add_run(report, options)
        for target in report.targets:
            self._add("backend_doctor_up", {"target": _target(target)}, bool(target.server))
        self._add_statuses(report)
        for branch in outline(report).problems:
            self._add_cause(branch.root)
        for result in report.results:
            for measure in result.finding.measures:
                self._add_measure(result, measure)

    def collect(self) -> Iterator[Metric]:
        """Every family that has a sample."""
        return (family for family in self._families.values() if family.samples)

    def _add(self, name: str, labels: _Labels, value: float) -> None:
        key = (name, tuple(sorted(labels.items())))
        if key not in self._seen:
            self._seen.add(key)
            self._families[name].add_sample(name, labels, float(value))

    def _add_run(self, report: Report, options: RenderOptions) -> None:
        ended = _ended(report)
        succeeded = options.previous_success if report.interrupted else ended
        self._add("backend_doctor_build_info", {"version": safe_text(report.tool_version)}, 1)
        self._add("backend_doctor_run_duration_seconds", {}, report.seconds)
        self._add("backend_doctor_last_run_timestamp_seconds", {}, ended)
        self._add(LAST_SUCCESS, {}, succeeded)

    def _add_statuses(self, report: Report) -> None:
        worst: dict[tuple[str, str], Status] = {}
        for result in report.results:
            key = (safe_text(result.check), _target(result))
            known = worst.setdefault(key, result.finding.status)
            worst[key] = max(known, result.finding.status, key=lambda status: status.severity)
        for (check, target), found in worst.items():
            for status in Status:
                labels = {"check": check, "target": target, "status": status.value}
                self._add("backend_doctor_check_status", labels, status is found)

    def _add_cause(self, root: Result) -> None:
        if root.finding.cause is not None:
            labels = {
                "check": safe_text(root.check),
                "target": _target(root),
                "cause": safe_text(root.finding.cause.label),
            }
            self._add("backend_doctor_cause", labels, 1)

    def _add_measure(self, result: Result, measure: Measure) -> None:
        words = measure.name.removesuffix("_total").removesuffix("_percent")
        name = re.sub(r"[^a-z0-9_]", "_", f"backend_doctor_{result.backend}_{words}".lower())
        text = f"{safe_text(result.backend)}: {safe_text(words).replace('_', ' ')}, as last seen."
        labels = {"target": _target(result)}
        if measure.unit == "c":
            self._families.setdefault(f"{name}_total", CounterMetricFamily(name, text))
            self._add(f"{name}_total", labels, measure.value)
            return
        value = measure.value
        if measure.unit == "%":
            name, value = name.removesuffix("_ratio") + "_ratio", value / 100
        self._families.setdefault(name, GaugeMetricFamily(name, text))
        self._add(name, labels, value)


def _target(thing: Result | Target) -> str:
    return safe_text(f"{thing.service}.{thing.backend}.{thing.instance}")


def _ended(report: Report) -> float:
    """The Unix time at which the run ended; 0 when its start is not a time."""
    try:
        started = datetime.datetime.fromisoformat(report.started)
    except ValueError:
        return 0.0
    if started.tzinfo is None:
        started = started.replace(tzinfo=datetime.UTC)
    return started.timestamp() + report.seconds
