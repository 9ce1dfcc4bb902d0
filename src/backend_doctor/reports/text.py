"""The report for people: worst first, each root with its evidence, cause and safe next step."""

from collections.abc import Sequence

from backend_doctor.model import Cause, Remedy, Report, Result, Status, Step, Target
from backend_doctor.reports import RenderOptions
from backend_doctor.reports.guide import at_a_glance, next_steps, runbook
from backend_doctor.reports.layout import LABEL_WIDTH, Pen, ascii_only, duration
from backend_doctor.reports.outline import (
    Branch,
    Outline,
    address,
    counted,
    outline,
    target_name,
)
from backend_doctor.text import safe_block, safe_text, shorten

FULL_BLOCKS = 10
_SUBJECTS_NAMED = 3
_CHECKS_NAMED = 3
_STEPS = tuple(Step)
_CHANGES = "!"


def render(report: Report, options: RenderOptions) -> str:
    """The whole report; with ``quiet`` one line a root, and nothing when all is well."""
    found = outline(report)
    lines = _quiet(report, found) if options.quiet else _full(report, found, options)
    text = "".join(f"{line}\n" for line in lines)
    return text if options.unicode else ascii_only(text)


def _quiet(report: Report, found: Outline) -> list[str]:
    lines = []
    for branch in found.problems:
        result = branch.root
        more = f" (explains {len(branch.folded)} more)" if branch.folded else ""
        said = safe_text(f"{result.finding.status} {result.check} {result.finding.summary}")
        lines.append(f"{target_name(result)}: {said}{more}")
    if report.interrupted:
        lines.append(f"backend-doctor: unknown: interrupted: {safe_text(report.interrupted)}")
    elif not report.results:
        lines.append("backend-doctor: unknown: nothing was examined")
    return lines


def _full(report: Report, found: Outline, options: RenderOptions) -> list[str]:
    pen = Pen(options.width, options.color)
    everything = options.verbose > 0
    lines = [*_header(report, found), ""]
    if roots := at_a_glance(found):
        lines += [*pen.prose(roots, 2, ""), ""]
    problems = _without_repeats(found.problems)
    full = len(problems) if everything else FULL_BLOCKS
    for branch, also in list(problems.items())[:full]:
        lines += [*_block(branch, pen, everything, also), ""]
    rest = list(problems)[full:]
    if rest:
        lines += [_one_line(branch.root, pen) for branch in rest]
        lines += [f"{counted(len(rest), 'more finding')} in one line each; -v for all.", ""]
    if everything:
        lines += _calm(found, pen)
    healthy = _targets(report, found, pen)
    lines += [*healthy, ""] if healthy else []
    notes = _notes(report, pen) + ([] if everything else _calm_notes(report, found, pen))
    lines += [*notes, ""] if notes else []
    return lines + _verdict(report, found, pen, options) + next_steps(report, found, options)


def _without_repeats(branches: tuple[Branch, ...]) -> dict[Branch, list[str]]:
    """Branches, each with the checks that are blind on the same target for the same reason."""
    kept: dict[tuple[object, ...], Branch] = {}
    also: dict[Branch, list[str]] = {}
    for branch in branches:
        finding = branch.root.finding
        blind = finding.status is Status.UNKNOWN and not branch.folded
        same = (address(branch.root), finding.summary, finding.remedies) if blind else branch.root
        first = kept.setdefault((same,), branch)
        also.setdefault(first, [])
        if first is not branch:
            also[first].append(branch.root.check)
    return also


def _header(report: Report, found: Outline) -> list[str]:
    parts = (
        f"backend-doctor {safe_text(report.tool_version)}",
        safe_text(report.source),
        counted(len(report.targets), "target"),
        counted(found.checks_run, "check"),
    )
    return ["   ".join(part for part in parts if part)]


def _title(result: Result, pen: Pen) -> str:
    status = result.finding.status
    word = " ok     " if status is Status.OK else f"{status.upper():<8}"
    line = pen.ends(f"{word} {safe_text(result.check)}", target_name(result))
    return pen.paint(word.strip(), line)


def _one_line(result: Result, pen: Pen) -> str:
    word = result.finding.status.upper()
    said = safe_text(f"{result.check} {target_name(result)}: {result.finding.summary}")
    return pen.paint(word, shorten(f"{word:<8} {said}", pen.width))


def _block(branch: Branch, pen: Pen, everything: bool, also: Sequence[str] = ()) -> list[str]:
    finding = branch.root.finding
    lines = [_title(branch.root, pen), *pen.prose(safe_text(finding.summary), 2)]
    told = (one for one in finding.evidence if everything or not one.repeats)
    for index, evidence in enumerate(told):
        source = f" ({evidence.source})" if everything and evidence.source else ""
        label = "" if index else "evidence"
        lines += pen.labelled(label, safe_text(evidence.text + source))
    if finding.cause is not None:
        lines += pen.labelled("cause", _cause(finding.cause))
    ordered = sorted(finding.remedies, key=lambda remedy: _STEPS.index(remedy.step))
    for index, remedy in enumerate(ordered):
        lines += _remedy("" if index else "fix", remedy, pen)
    for note in finding.notes:
        lines += pen.labelled("note", safe_text(note))
    lines += _explains(branch, pen, everything)
    if also:
        lines += pen.labelled("also", safe_text(", ".join(dict.fromkeys(also))))
    if branch.is_problem:
        lines.append(f"  {'runbook':<{LABEL_WIDTH - 2}}{runbook(branch.root)}")
    return lines


def _cause(cause: Cause) -> str:
    return safe_text(f"{cause.label} ({cause.confidence}): {cause.because}")


def _remedy(label: str, remedy: Remedy, pen: Pen) -> list[str]:
    mark = _CHANGES if remedy.changes_state else " "
    first = f"  {label:<{LABEL_WIDTH - 2}}{remedy.step:<8}{mark} "
    lines = pen.prose(safe_text(remedy.effect), len(first), first)
    if remedy.changes_state:
        lines[0] = pen.paint(_CHANGES, lines[0])
    command = safe_block(remedy.command.strip("\n"))
    indent = " " * (LABEL_WIDTH + 2)
    if remedy.language == "text" and "\n" not in command:
        return lines + pen.prose(command, LABEL_WIDTH + 2)
    if "\n" in command and any(line.count("'") % 2 for line in command.split("\n")):
        # a literal that spans lines pastes as it is meant only from the margin
        return [*lines, "", *command.split("\n"), ""]
    return lines + [f"{indent}{line}" for line in command.split("\n")]


def _explains(branch: Branch, pen: Pen, everything: bool) -> list[str]:
    lines = []
    for symptom in branch.folded:
        if symptom.finding.status in (Status.CRITICAL, Status.WARNING):
            head = f"{symptom.check} ({symptom.finding.status}, {target_name(symptom)})"
            why = f" {_shares(symptom)}" if everything else ""
            said = f"{head}: {symptom.finding.summary.rstrip('.')}{why}"
            lines += pen.labelled("explains", safe_text(said))
    for status in (Status.UNKNOWN, Status.SKIPPED):
        same = [symptom for symptom in branch.folded if symptom.finding.status is status]
        for shared in dict.fromkeys(_shares(symptom) for symptom in same):
            names = dict.fromkeys(one.check for one in same if _shares(one) == shared)
            said = ", ".join(names)
            if status is Status.UNKNOWN and len(names) > _CHECKS_NAMED and not everything:
                said = f"{len(names)} checks could not be judged"
            lines += pen.labelled(status, safe_text(f"{said} {shared}"))
    return lines


def _shares(symptom: Result) -> str:
    subjects = symptom.explained_by.shared if symptom.explained_by else ()
    named = ", ".join(str(subject) for subject in subjects[:_SUBJECTS_NAMED])
    more = len(subjects) - _SUBJECTS_NAMED
    return f"(shares {named}{f' and {more} more' if more > 0 else ''})" if named else ""


def _calm(found: Outline, pen: Pen) -> list[str]:
    lines = []
    for result in found.calm:
        if result.finding.status is Status.OK:
            lines += [*_block(Branch(result, ()), pen, True), ""]
    skipped = [result for result in found.calm if result.finding.status is Status.SKIPPED]
    for result in skipped:
        said = f"skipped  {result.check} {target_name(result)}: {result.finding.summary}"
        lines += pen.prose(safe_text(said), 9)
    return [*lines, ""] if skipped else lines


def _targets(report: Report, found: Outline, pen: Pen) -> list[str]:
    rows = []
    for target in report.targets:
        worst = found.worst.get(address(target), Status.SKIPPED)
        if worst in (Status.OK, Status.SKIPPED):
            word = " ok " if worst is Status.OK else "skip"
            rows.append((word, *_target_cells(target, found)))
    lines = pen.table([row[1:] for row in rows], shrinkable=3)
    return [
        pen.paint(row[0].strip(), f"{row[0]}  {line}")
        for row, line in zip(rows, lines, strict=True)
    ]


def _target_cells(target: Target, found: Outline) -> tuple[str, ...]:
    return (
        target_name(target),
        safe_text(target.server or target.backend),
        safe_text(target.address),
        counted(found.checks.get(address(target), 0), "check"),
        duration(target.seconds),
    )


def _notes(report: Report, pen: Pen) -> list[str]:
    lines = []
    for target in report.targets:
        for note in target.notes:
            lines += pen.labelled("note", f"{target_name(target)}: {safe_text(note)}")
    for warning in report.warnings:
        lines += pen.labelled("note", safe_text(warning))
    if report.interrupted:
        said = f"{report.interrupted}; what had not been read by then was not judged"
        lines += pen.labelled("stopped", safe_text(said))
    return lines


def _calm_notes(report: Report, found: Outline, pen: Pen) -> list[str]:
    """What a healthy finding wants known all the same (a trend that is too young to judge), and
    which checks were skipped where they are few."""
    said = {note for target in report.targets for note in target.notes}
    lines = []
    for result in found.calm:
        for note in result.finding.notes:
            if result.finding.status is Status.OK and note not in said:
                text = f"{result.check} {target_name(result)}: {note}"
                lines += pen.labelled("note", safe_text(text))
    return lines + _few_skipped(found, pen)


def _few_skipped(found: Outline, pen: Pen) -> list[str]:
    skipped = [result for result in found.calm if result.finding.status is Status.SKIPPED]
    lines: list[str] = []
    if len(skipped) <= _CHECKS_NAMED:
        why: dict[tuple[str, str], list[str]] = {}
        for result in skipped:
            why.setdefault((target_name(result), result.finding.summary), []).append(result.check)
        for (target, summary), names in why.items():
            text = f"skipped on {target}: {', '.join(names)}: {summary}"
            lines += pen.labelled("note", safe_text(text))
    return lines


def _verdict(report: Report, found: Outline, pen: Pen, options: RenderOptions) -> list[str]:
    word = "HEALTHY" if report.status is Status.OK else report.status.upper()
    problems = (Status.CRITICAL, Status.WARNING, Status.UNKNOWN)
    tally = found.tally(*problems, Status.OK, Status.SKIPPED) or "nothing was examined"
    left = f"{word}  {'interrupted, ' if report.interrupted else ''}{tally}"
    code = options.ends_with(report)
    why = "" if code == report.status.exit_code else _why(code)
    right = f"{duration(report.seconds)}, exit {code}{why}"
    if _shows_a_change(found, options):
        right = f"({_CHANGES} = changes state)  {right}"
    if len(left) + len(right) + 2 > pen.width:
        return [pen.paint(word, left), pen.ends("", right)]
    return [pen.paint(word, pen.ends(left, right))]


def _why(code: int) -> str:
    return " (interrupted)" if code == 130 else " (as --fail-on asks)"


def _shows_a_change(found: Outline, options: RenderOptions) -> bool:
    shown = found.problems if options.verbose else found.problems[:FULL_BLOCKS]
    return any(remedy.changes_state for branch in shown for remedy in branch.root.finding.remedies)
