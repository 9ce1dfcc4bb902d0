"""The report for programs: one versioned document, as ``report.schema.json`` describes it."""

import json
import math
from typing import Any

import msgspec

from backend_doctor.model import Report, Result, Status, Step
from backend_doctor.reports import RenderOptions
from backend_doctor.reports.outline import Outline, outline
from backend_doctor.text import safe_block

SCHEMA_VERSION = 1
_STEPS = [step.value for step in Step]


def render(report: Report, options: RenderOptions) -> str:
    """Pretty-printed JSON. Control characters become visible escapes, NaN and infinity null."""
    document = _clean(_document(report, options))
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=not options.unicode)
    return text + "\n"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return safe_block(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def _document(report: Report, options: RenderOptions) -> dict[str, Any]:
    found = outline(report)
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "backend-doctor", "version": report.tool_version},
        "run": {
            "started": report.started,
            "seconds": report.seconds,
            "window": report.window,
            "source": report.source,
            "interrupted": report.interrupted,
        },
        "status": report.status.value,
        "exit_code": options.ends_with(report),
        "causes": _causes(found),
        "summary": _summary(found),
        "findings": [_finding(result) for result in _in_order(report)],
        "targets": msgspec.to_builtins(report.targets),
        "warnings": list(report.warnings),
    }


def _in_order(report: Report) -> list[Result]:
    return sorted(report.results, key=lambda result: result.explained_by is not None)


def _causes(found: Outline) -> list[dict[str, str]]:
    return [
        {
            "label": cause.label,
            "status": branch.root.finding.status.value,
            "confidence": cause.confidence.value,
            "finding": branch.root.id,
        }
        for branch in found.problems
        if (cause := branch.root.finding.cause) is not None
    ]


def _summary(found: Outline) -> dict[str, int]:
    counts = {status.value: found.counts.get(status, 0) for status in Status}
    return {
        **counts,
        "checks": found.checks_run,
        "roots": len(found.problems),
        "explained": sum(found.folded_counts.values()),
    }


def _finding(result: Result) -> dict[str, Any]:
    said = msgspec.to_builtins(result.finding)
    fold = result.explained_by
    return {
        "id": result.id,
        "check": result.check,
        "service": result.service,
        "backend": result.backend,
        "instance": result.instance,
        **said,
        "remedies": sorted(said["remedies"], key=lambda remedy: _STEPS.index(remedy["step"])),
        "explained_by": msgspec.to_builtins(fold) if fold else None,
        "runbook": f"backend-doctor runbook {result.check}",
    }
