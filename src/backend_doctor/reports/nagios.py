"""A Nagios plugin's answer, by the Monitoring Plugins development guidelines."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from zlib import crc32

from backend_doctor.model import Measure, Report, Result, Status, Target
from backend_doctor.reports import RenderOptions
from backend_doctor.reports.layout import ascii_only
from backend_doctor.reports.outline import Branch, Outline, counted, outline, target_name
from backend_doctor.text import safe_text, shorten

FIRST_LINE = 80
# What a plugin may say in all; Nagios Core cuts plugin output at 8 KB.
_BLOCKS = 10
_LABEL_HEAD = 14
_LABEL_UNIQUE = 19
_UNITS = frozenset({"", "s", "ms", "us", "%", "B", "KB", "MB", "GB", "TB", "c"})
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_PROBLEMS = (Status.CRITICAL, Status.WARNING, Status.UNKNOWN)
_SHORT = {Status.CRITICAL: "crit", Status.WARNING: "warn", Status.UNKNOWN: "unknown"}
# fewer columns of a sentence than this tell nobody anything
_WORTH_STARTING = 12


def render(report: Report, options: RenderOptions) -> str:
    """First line of at most 80 columns, ``|``, performance data; details on later lines."""
    found = outline(report)
    code = options.ends_with(report)
    word = _WORDS[code] if code < len(_WORDS) else "UNKNOWN"
    prefix = f"BACKEND-DOCTOR {word}: "
    first = prefix + _headline(report, found, FIRST_LINE - len(prefix), options.unicode)
    perfdata = " ".join(_perfdata(report, found))
    lines = [_plain(line, options.unicode) for line in _details(report, found)]
    return "".join(f"{line}\n" for line in (f"{first} | {perfdata}", *lines))


def _plain(text: str, unicode: bool) -> str:
    text = safe_text(text).replace("|", "¦" if unicode else "/")
    return text if unicode else ascii_only(text)


def _headline(report: Report, found: Outline, width: int, unicode: bool) -> str:
    details = tail = ""
    if found.problems:
        said, details = _sentence(found.problems[0].root)
        tail = _tail(found.problems[1:], bool(report.interrupted))
    elif report.interrupted:
        said = f"interrupted: {report.interrupted}"
    elif not report.results:
        said = "nothing was examined"
    else:
        checks = counted(found.checks_run, "check")
        said = f"{checks} on {counted(len(report.targets), 'target')}"
    room = width - len(tail)
    said, details = _plain(said, unicode), _plain(details, unicode)
    if details and room - len(said) - 2 >= min(len(details), _WORTH_STARTING):
        said = f"{said}: {details}"
    return shorten(shorten(said, room) + tail, width)


def _tail(others: tuple[Branch, ...], interrupted: bool) -> str:
    counts = Counter(branch.root.finding.status for branch in others)
    parts = [f"{counts[status]} {_SHORT[status]}" for status in _PROBLEMS if counts[status]]
    more = ["+" + ", ".join(parts)] if parts else []
    said = "; ".join(more + ["interrupted"] * interrupted)
    return f" ({said})" if said else ""


def _sentence(result: Result) -> tuple[str, str]:
    cause = result.finding.cause
    return f"{target_name(result)} {cause.label if cause else result.check}", _said(result)


def _said(result: Result) -> str:
    return result.finding.summary.rstrip(".")


def _details(report: Report, found: Outline) -> Iterator[str]:
    for branch in found.problems[:_BLOCKS]:
        root = branch.root
        word = root.finding.status.upper()
        yield f"[{word}] {target_name(root)} {root.check}: {root.finding.summary}"
        if cause := root.finding.cause:
            yield f"cause: {cause.label} ({cause.confidence}): {cause.because}"
        for symptom in branch.folded:
            if symptom.finding.status in (Status.CRITICAL, Status.WARNING):
                yield f"explains: {target_name(symptom)} {symptom.check}: {_said(symptom)}"
        yield f"runbook: backend-doctor runbook {root.check}"
    if len(found.problems) > _BLOCKS:
        yield f"and {counted(len(found.problems) - _BLOCKS, 'more finding')}"
    if report.interrupted:
        yield f"interrupted: {report.interrupted}"


def _perfdata(report: Report, found: Outline) -> Iterator[str]:
    """Counts, then each target's time and measures, in an order that no verdict changes."""
    for status in _PROBLEMS:
        yield f"'{status}'={found.counts.get(status, 0)};;;0"
    names = Counter((target.service, target.instance) for target in report.targets)
    used: set[str] = set()
    for target in report.targets:
        place = _place(target, names[target.service, target.instance] > 1)
        seconds = target.seconds if target.server else math.nan
        own = [Measure(name="time", value=seconds, unit="s"), *_measures(report, target)]
        for measure in own:
            label = _label(f"{place}_{measure.name}")
            if label not in used:
                used.add(label)
                yield f"'{label}'={_reading(measure)}"


def _place(target: Target, ambiguous: bool) -> str:
    kind = f"{target.backend}_" if ambiguous else ""
    return f"{target.service}_{kind}{target.instance}"


def _measures(report: Report, target: Target) -> list[Measure]:
    found = [
        measure
        for result in report.results
        if (result.service, result.backend, result.instance)
        == (target.service, target.backend, target.instance)
        for measure in result.finding.measures
    ]
    return sorted(found, key=lambda measure: measure.name)


def _label(name: str) -> str:
    """``name`` without forbidden characters and unique in its first 19.

    Where it is longer, or had to be changed, four hexadecimal digits of the whole name stand
    within those 19: they depend on nothing else, so a graph keeps its label for ever.
    """
    clean = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if clean == name and len(name) <= _LABEL_UNIQUE:
        return clean
    mark = crc32(name.encode("utf-8", "backslashreplace")) & 0xFFFF
    head, tail = clean[:_LABEL_HEAD], clean[_LABEL_HEAD:]
    joint = "" if head.endswith("_") else "_"
    return f"{head}{joint}{mark:04x}{'_' + tail.lstrip('_') if tail else ''}"


def _number(value: float | None) -> str:
    """Plain digits, since the grammar knows no exponent; "" for what is no number."""
    if value is None or not math.isfinite(value):
        return ""
    digits = format(Decimal(repr(value)), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _range(limit: float | None, below: bool) -> str:
    digits = _number(limit)
    if not digits or limit is None:
        return ""
    if below:
        return f"{digits}:"
    return digits if limit >= 0 else f"~:{digits}"


def _reading(measure: Measure) -> str:
    value = _number(measure.value)
    unit = measure.unit if value and measure.unit in _UNITS else ""
    warning, critical = measure.warning, measure.critical
    below = warning is not None and critical is not None and critical < warning
    fields = (
        f"{value or 'U'}{unit}",
        _range(warning, below),
        _range(critical, below),
        _number(measure.minimum),
        _number(measure.maximum),
    )
    return ";".join(fields).rstrip(";")
