"""Runs the contestants in turn on the sick server, and keeps what each run showed and cost."""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import asyncpg
from bench.measure import Usage, peak_mib, run
from bench.postgres.cost import Books, Cost
from bench.postgres.faults import FAULTS, Mark, Seen, first_cause, judge
from bench.postgres.sick import Sick, sick_server
from bench.postgres.tools import Tool, contestants

LEAK = "leak.idle_in_transaction"


@dataclass(frozen=True)
class Round:
    """One run of one tool."""

    usage: Usage
    cost: Cost
    seen: dict[str, Seen]

    @property
    def first(self) -> str | None:
        """The cause that it ranks first, if it ranks causes."""
        return first_cause(self.usage.output)


@dataclass(frozen=True)
class Result:
    """All runs of one tool; ``peak_mib`` is of one more run."""

    tool: Tool
    rounds: Sequence[Round]
    peak_mib: float

    def middle(self, value: Callable[[Round], float]) -> float:
        """The median over the runs."""
        return median(value(one) for one in self.rounds)

    def most(self, value: Callable[[Round], int]) -> int:
        """The largest of the runs."""
        return max(value(one) for one in self.rounds)

    def mark(self, fault: str) -> Mark:
        """What every run showed of a fault."""
        marks = {one.seen[fault].mark for one in self.rounds}
        return next(mark for mark in reversed(Mark) if mark in marks)

    @property
    def named(self) -> int:
        """How many faults every run named."""
        return sum(self.mark(fault.name) is Mark.NAMED for fault in FAULTS)

    @property
    def leak_first(self) -> bool | None:
        """Whether every run ranked the leak first; None of a tool that ranks no causes."""
        firsts = {one.first for one in self.rounds}
        return None if firsts == {None} else firsts == {LEAK}


def _play(tool: Tool, sick: Sick, folder: Path) -> Round:
    books = Books(sick.server, tool.role)
    usage = run(tool.command(sick.server, folder))
    seen = judge(usage.output, {"root_pid": str(sick.root_pid)})
    return Round(usage, books.cost(), seen)


async def _make_roles(sick: Sick, roles: Iterable[str]) -> None:
    admin = await asyncpg.connect(sick.server.admin_url())
    for role in roles:
        await admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
    await admin.close()


def compete(rounds: int) -> list[Result]:
    """Ours with two looks, ours with one, check_postgres, then the others."""
    tools = contestants()
    with sick_server() as sick, tempfile.TemporaryDirectory() as folder:
        asyncio.run(_make_roles(sick, (tool.role for tool in tools)))
        played = [[_play(tool, sick, Path(folder)) for tool in tools] for _round in range(rounds)]
        peaks = [peak_mib(tool.command(sick.server, Path(folder))) for tool in tools]
    by_tool = zip(tools, zip(*played, strict=True), peaks, strict=True)
    return [Result(tool, runs, peak) for tool, runs, peak in by_tool]
