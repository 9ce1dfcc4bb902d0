"""python -m bench.postgres: ours and its peers in turn on one sick PostgreSQL; prints a table."""

import argparse
import asyncio
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import asyncpg
from bench.measure import Usage, run
from bench.postgres.faults import FAULTS, named
from bench.postgres.sick import Sick, sick_server
from bench.postgres.tools import Tool, tools

# our own statements begin with a new line, and so after the log's
_DURATION = re.compile(r"LOG:  duration: ([\d.]+) ms(?:  (?:(statement|execute)[^:]*: (\w*))?)?")
_UNCOUNTED = {"BEGIN", "COMMIT", "ROLLBACK", "SET", "SAVEPOINT", "PREPARE", "DEALLOCATE"}


@dataclass(frozen=True)
class Round:
    """One run of one tool: its cost here, and in the server by its log."""

    usage: Usage
    faults: list[str]
    connections: int
    statements: int
    server_ms: float


def _in_server(log: str, role: str) -> tuple[int, int, float]:
    """Connections, statements and milliseconds of a role."""
    lines = [line for line in log.splitlines() if f"<{role}>" in line] if role else []
    durations = [found for line in lines if (found := _DURATION.search(line))]
    return (
        sum("connection authorized" in line for line in lines),
        sum(bool(found[2]) and found[3].upper() not in _UNCOUNTED for found in durations),
        sum(float(found[1]) for found in durations),
    )


def play(tool: Tool, sick: Sick, folder: Path) -> Round:
    """One run."""
    before = len(sick.server.log())
    usage = run(tool.command(sick.server, folder))
    faults = named(usage.output, {"root_pid": str(sick.root_pid)})
    return Round(usage, faults, *_in_server(sick.server.log()[before:], tool.role))


async def _make_roles(sick: Sick, roles: Iterable[str]) -> None:
    admin = await asyncpg.connect(sick.server.admin_url())
    for role in filter(None, roles):
        await admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
        await admin.execute(f"ALTER ROLE {role} SET log_min_duration_statement = 0")
    await admin.close()


def _row(name: str, rounds: list[Round]) -> str:
    def middle(values: Iterable[float]) -> float:
        return median(values)

    usages = [one.usage for one in rounds]
    named_always = set.intersection(*(set(one.faults) for one in rounds))
    marks = "".join(f"{'yes' if fault.name in named_always else '-':>13}" for fault in FAULTS)
    return (
        f"{name:28}{marks}{len(named_always):>7}"
        f"{middle(u.wall for u in usages):>8.2f}{middle(u.cpu for u in usages):>7.2f}"
        f"{middle(u.peak_mib for u in usages):>6.0f}"
        f"{middle(r.connections for r in rounds):>6.0f}{middle(r.statements for r in rounds):>6.0f}"
        f"{middle(r.server_ms for r in rounds):>8.0f}"
    )


def main() -> None:
    """Prints the table, and what our first report said."""
    parser = argparse.ArgumentParser(prog="bench.postgres")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", action="store_true", help="print our report too")
    options = parser.parse_args()
    contestants, played = tools(), defaultdict[str, list[Round]](list)
    with sick_server() as sick, tempfile.TemporaryDirectory() as folder:
        asyncio.run(_make_roles(sick, (tool.role for tool in contestants)))
        for _ in range(options.rounds):
            for tool in contestants:
                played[tool.name].append(play(tool, sick, Path(folder)))
    if options.report:
        print(played[contestants[0].name][0].usage.output)
    heads = "".join(f"{fault.name:>13}" for fault in FAULTS)
    print(f"{'':28}{heads}{'named':>7}{'wall s':>8}{'CPU s':>7}{'MiB':>6}{'conn':>6}{'stmts':>6}"
          f"{'srv ms':>8}")  # fmt: skip
    for tool in contestants:
        print(_row(tool.name, played[tool.name]))
    ours, theirs = (
        median(one.usage.wall for one in played[name])
        for name in (contestants[1].name, contestants[2].name)
    )
    print(f"\n--window 0 took {theirs / ours:.1f} times less wall time than check_postgres")


if __name__ == "__main__":
    main()
