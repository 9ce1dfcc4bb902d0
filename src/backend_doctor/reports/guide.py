"""What a reader needs besides the findings: all roots at a glance, and what to run next."""

import shlex
from collections import Counter

from backend_doctor.facts import ADHOC, target_name
from backend_doctor.model import Report, Result, Status
from backend_doctor.reports import RenderOptions
from backend_doctor.reports.outline import Outline, is_problem
from backend_doctor.text import safe_text

MANY_ROOTS = 3
_THE_SAME = "the same command with -v"


def at_a_glance(found: Outline) -> str:
    """``3 critical, 1 warning: leak.idle_in_transaction, ...``, worst first; "" for few roots."""
    roots = [branch.root for branch in found.problems if _alarming(branch.root)]
    if len(roots) < MANY_ROOTS:
        return ""
    statuses = Counter(root.finding.status for root in roots)
    tally = ", ".join(
        f"{count} {status if status is Status.CRITICAL or count == 1 else f'{status}s'}"
        for status, count in sorted(statuses.items(), key=lambda one: -one[0].severity)
    )
    names = Counter(
        root.finding.cause.label if root.finding.cause else root.check for root in roots
    )
    listed = (f"{name} ({count} times)" if count > 1 else name for name, count in names.items())
    return safe_text(f"{tally}: {', '.join(listed)}")


def _alarming(result: Result) -> bool:
    return result.finding.status in (Status.CRITICAL, Status.WARNING)


def runbook(result: Result) -> str:
    """The command that prints the runbook of a result's check."""
    return f"backend-doctor runbook {shlex.quote(safe_text(result.check))}"


def next_steps(report: Report, found: Outline, options: RenderOptions) -> list[str]:
    """The lines below the verdict: what to run next, ready to paste."""
    if not report.results:
        return ["Next: backend-doctor config show"]
    if not found.problems:
        return []
    first = next((b.root for b in found.problems if is_problem(b.root)), found.problems[0].root)
    lines = [f"Next: {runbook(first)}"]
    if not options.verbose:
        lines.append(f"  or: {_again(first, options)}")
    return lines


def _again(result: Result, options: RenderOptions) -> str:
    """The command that looks at a result's target again and shows all; the command line's own
    targets have no name but what they were given as."""
    if "--from" in options.read_from:
        targets: tuple[str, ...] = ()
    elif result.service != ADHOC:
        targets = (target_name(result.service, result.backend, result.instance),)
    elif options.targets:
        targets = options.targets
    else:
        return _THE_SAME
    words = [safe_text(word) for word in ("check", *options.read_from, *targets, "-v")]
    return f"backend-doctor {shlex.join(words)}"
