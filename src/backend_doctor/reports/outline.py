"""The order in which any report is read: what is wrong, what it explains, what is well."""

import msgspec

from backend_doctor.model import Report, Result, Status, Target
from backend_doctor.text import safe_text

Address = tuple[str, str, str]


def address(thing: Result | Target) -> Address:
    """Service, backend and instance: what ties results to their target."""
    return (thing.service, thing.backend, thing.instance)


def target_name(thing: Result | Target) -> str:
    """``service.instance`` for people; the check's id beside it says of which kind."""
    return safe_text(f"{thing.service}.{thing.instance}")


def is_problem(result: Result) -> bool:
    """Whether somebody should read it: critical, warning or unknown."""
    return result.finding.status not in (Status.OK, Status.SKIPPED)


def counted(number: int, noun: str) -> str:
    """``1 check``, ``2 checks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Branch(msgspec.Struct, frozen=True):
    """A root and all that it explains, however deep."""

    root: Result
    folded: tuple[Result, ...]

    @property
    def is_problem(self) -> bool:
        """Whether anything in it should be read."""
        return any(is_problem(result) for result in (self.root, *self.folded))


class Outline(msgspec.Struct, frozen=True):
    """A report sorted for reading. ``problems`` and ``calm`` keep the report's order."""

    problems: tuple[Branch, ...]
    calm: tuple[Result, ...]
    counts: dict[Status, int]
    folded_counts: dict[Status, int]
    worst: dict[Address, Status]
    checks: dict[Address, int]

    @property
    def checks_run(self) -> int:
        """How many checks were run, each instance counted."""
        return sum(self.checks.values())

    def tally(self, *statuses: Status) -> str:
        """``2 critical (1 explained), 1 warning``: the given statuses that occurred."""
        parts = []
        for status in statuses:
            folded = self.folded_counts.get(status, 0)
            if self.counts.get(status):
                explained = f" ({folded} explained)" if folded else ""
                parts.append(f"{self.counts[status]} {status}{explained}")
        return ", ".join(parts)


def _branches(report: Report) -> list[Branch]:
    """Every result exactly once; one that lies under nothing known is a root of its own."""
    children: dict[str, list[Result]] = {}
    for result in report.results:
        if result.explained_by is not None:
            children.setdefault(result.explained_by.under, []).append(result)
    seen: set[str] = set()
    branches = []
    for root in (*report.roots, *report.results):
        if root.id in seen:
            continue
        seen.add(root.id)
        family: list[Result] = [root]
        for member in family:
            fresh = [child for child in children.get(member.id, ()) if child.id not in seen]
            seen.update(child.id for child in fresh)
            family.extend(fresh)
        branches.append(Branch(root, tuple(family[1:])))
    return branches


def _count(results: list[Result]) -> dict[Status, int]:
    counts: dict[Status, int] = {}
    for result in results:
        counts[result.finding.status] = counts.get(result.finding.status, 0) + 1
    return counts


def outline(report: Report) -> Outline:
    """Sorts a report for reading; no result is lost, whatever its fold points to."""
    branches = _branches(report)
    worst: dict[Address, Status] = {}
    checks: dict[Address, set[str]] = {}
    for result in report.results:
        status = result.finding.status
        known = worst.setdefault(address(result), status)
        worst[address(result)] = max(known, status, key=lambda status: status.severity)
        if status is not Status.SKIPPED:
            checks.setdefault(address(result), set()).add(result.check)
    return Outline(
        problems=tuple(branch for branch in branches if branch.is_problem),
        calm=tuple(
            result
            for branch in branches
            if not branch.is_problem
            for result in (branch.root, *branch.folded)
        ),
        counts=_count(list(report.results)),
        folded_counts=_count([result for branch in branches for result in branch.folded]),
        worst=worst,
        checks={key: len(names) for key, names in checks.items()},
    )
