"""The tables of both benches, for a terminal or for a page of Markdown."""

from collections.abc import Callable, Sequence

from bench.postgres.contest import Result
from bench.postgres.faults import FAULTS, Mark
from bench.postgres.hard import Figures

_COSTS: tuple[tuple[str, str, Callable[[Result], float]], ...] = (
    ("wall s", ".2f", lambda one: one.middle(lambda run: run.usage.wall)),
    ("CPU s", ".2f", lambda one: one.middle(lambda run: run.usage.cpu)),
    ("RSS MiB", ".0f", lambda one: one.peak_mib),
    ("in server ms", ".0f", lambda one: one.middle(lambda run: run.cost.server_ms)),
)
_RANKED = {True: "yes", False: "no", None: "-"}


def contest_table(results: Sequence[Result], markdown: bool) -> str:
    """A row for each tool: medians, in Markdown as multiples of ours with one look."""
    heads = (*(fault.name for fault in FAULTS), "named", "leak first")
    rows = [["", *heads, *(cost[0] for cost in _COSTS), "connections", "statements"]]
    for result in results:
        parts = sum(result.mark(fault.name) is Mark.PART for fault in FAULTS)
        named = f"{result.named} of {len(FAULTS)}" + (f", {parts} in part" if parts else "")
        costs = (
            f"{value(result) / value(results[1]):.1f} x"
            if markdown and result is not results[1]
            else f"{value(result):{digits}}"
            for _, digits, value in _COSTS
        )
        rows.append(
            [
                result.tool.name,
                *(result.mark(fault.name) for fault in FAULTS),
                named,
                _RANKED[result.leak_first],
                *costs,
                str(result.most(lambda one: one.cost.connections)),
                str(result.most(lambda one: one.cost.statements)),
            ]
        )
    return _drawn(rows, markdown)


def hard_table(figures: Sequence[Figures], markdown: bool) -> str:
    """A row for each hard server."""
    heads = ("wall s", "RSS MiB", "statements", "longest ms", "lock wait ms", "said", "first cause")
    rows = [["", *heads]]
    for one in figures:
        rows.append(
            [
                one.case.name,
                f"{one.wall:.2f}",
                f"{one.peak_mib:.0f}",
                str(one.statements),
                f"{max(look.cost.longest_ms for look in one.looks):.0f}",
                f"{one.waited:.0f}" if one.case.locks else "-",
                ("yes" if one.said else "no") if one.case.must_say else "-",
                one.first,
            ]
        )
    return _drawn(rows, markdown)


def _drawn(rows: Sequence[Sequence[str]], markdown: bool) -> str:
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(
        row[0].ljust(first)
        + "".join(cell.rjust(width + 2) for cell, width in zip(row[1:], others, strict=True))
        for row in rows
    )


def evidence(results: Sequence[Result]) -> str:
    """The words by which each tool earned each mark in its first run."""
    lines = []
    for result in results:
        lines.append(result.tool.name)
        for name, seen in result.rounds[0].seen.items():
            lines.append(f"  {name:14}{seen.mark:6}{' '.join(seen.words.split())}")
    return "\n".join(lines)
