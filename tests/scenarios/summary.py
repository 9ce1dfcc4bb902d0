"""The benchmark's rows as a file, a table and a score with Wilson's 95 % intervals."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from tests.scenarios.score import Verdict

_Z = 1.959964
SECONDS_BEYOND_WINDOW = 10.0
CONNECTIONS_PER_BACKEND = 1


@dataclass(frozen=True)
class Row:
    """One scenario or twin as it went.

    ``seconds`` beyond the sampling window; ``statements`` as the report counts them;
    ``connections`` the most to one backend, by the report or by PostgreSQL's own log; ``void``
    and ``failure`` in words.
    """

    id: str
    twin: bool
    seed: int
    server: str
    expected: tuple[str, ...]
    verdict: Verdict | None
    void: str = ""
    failure: str = ""
    seconds: float = 0.0
    statements: int = 0
    connections: int = 0

    @property
    def ok(self) -> bool:
        """Cause first and no false fact; for a twin nothing at warning or above."""
        return not self.void and self.verdict is not None and self.verdict.ok

    @property
    def problems(self) -> Iterator[str]:
        """All that keeps the row from being perfect, in words."""
        if self.void:
            yield f"void: {self.void}"
        if self.failure:
            yield f"no report: {self.failure}"
        if self.verdict is not None and not self.void:
            if not self.twin and not self.verdict.top1:
                yield f"expected {' + '.join(self.expected)} first"
            yield from (f"false alarm: {words}" for words in self.verdict.alarms)
            yield from (f"false fact: {words}" for words in self.verdict.false_facts)
            yield from (f"not folded: {words}" for words in self.verdict.unfolded)
            yield from (f"remedy: {words}" for words in self.verdict.unsafe)
            yield from (f"evidence: {words}" for words in self.verdict.missed)
            if self.seconds > SECONDS_BEYOND_WINDOW:
                yield f"took {self.seconds:.1f} s beyond the window"
            if self.connections > CONNECTIONS_PER_BACKEND:
                yield f"used {self.connections} connections to one backend"


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; (0, 1) of nothing."""
    if total == 0:
        return (0.0, 1.0)
    share, weight = hits / total, _Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    spread = _Z / (1 + weight) * sqrt(share * (1 - share) / total + weight / (4 * total))
    return (max(0.0, middle - spread), min(1.0, middle + spread))


def as_json(row: Row) -> dict[str, Any]:
    """A row of build/scenarios.json."""
    verdict = row.verdict
    expected = list(row.expected)
    return {
        "id": row.id,
        "twin": row.twin,
        "expected": None if row.twin else expected[0] if len(expected) == 1 else expected,
        "named": [
            {"cause": n.cause, "status": n.status, "service": n.service, "backend": n.backend}
            for n in (verdict.named if verdict else ())
        ],
        "ok": row.ok,
        "void": bool(row.void),
        "evidence_hits": verdict.evidence_hits if verdict else 0,
        "evidence_total": verdict.evidence_total if verdict else 0,
        "false_facts": len(verdict.false_facts) if verdict else 0,
        "seconds": round(row.seconds, 2),
        "statements": row.statements,
        "connections": row.connections,
        "seed": row.seed,
        "server": row.server,
        "top3": bool(verdict and verdict.top3),
        "recalled": bool(verdict and verdict.recalled),
        "abstained": bool(verdict and verdict.abstained),
        "fix_safe": None if row.twin or not verdict else not verdict.unsafe,
        "problems": list(row.problems),
    }


def write(rows: Iterable[Row], path: Path) -> None:
    """Writes the list of all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([as_json(row) for row in rows], indent=2) + "\n")


def passed(rows: Sequence[Row]) -> bool:
    """Whether there are rows and none of them has any problem."""
    return bool(rows) and all(row.ok and not list(row.problems) for row in rows)


def table(rows: Iterable[Row]) -> str:
    """The rows for people, each problem beneath its row."""
    lines = [f"{'id':5}{'':6}{'server':10}{'ok':6}{'evidence':10}{'s':>6}{'stmts':>7}  named"]
    for row in rows:
        verdict = row.verdict
        named = ", ".join(f"{n.cause} ({n.status})" for n in verdict.named) if verdict else ""
        word = "VOID" if row.void else "yes" if row.ok else "NO"
        evidence = f"{verdict.evidence_hits}/{verdict.evidence_total}" if verdict else "-"
        lines.append(
            f"{row.id:5}{'twin' if row.twin else '':6}{row.server:10}{word:6}{evidence:10}"
            f"{row.seconds:6.1f}{row.statements:7}  {named or 'nothing'}"
        )
        lines += [f"      - {problem}" for problem in row.problems]
    return "\n".join(lines)


def score(rows: Sequence[Row]) -> str:
    """The score: shares with their intervals, then the plain numbers."""
    played = [row for row in rows if not row.void]
    sick, twins = [r for r in played if not r.twin], [r for r in played if r.twin]

    def share(name: str, among: Sequence[Row], test: Callable[[Verdict], bool]) -> str:
        hits = sum(row.verdict is not None and test(row.verdict) for row in among)
        return _share(name, hits, len(among))

    verdicts = [row.verdict for row in played if row.verdict is not None]
    hits = sum(verdict.evidence_hits for verdict in verdicts)
    total = sum(verdict.evidence_total for verdict in verdicts)
    lines = [
        share("recall", sick, lambda verdict: verdict.recalled),
        share("root cause top-1", sick, lambda verdict: verdict.top1),
        share("root cause top-3", sick, lambda verdict: verdict.top3),
        share("twins without alarm", twins, lambda verdict: not verdict.alarms),
        _share("evidence", hits, total),
        share("fix safe", sick, lambda verdict: not verdict.unsafe),
        f"false facts          {sum(len(verdict.false_facts) for verdict in verdicts)}",
        f"abstentions          {sum(verdict.abstained for verdict in verdicts)}",
        f"void                 {len(rows) - len(played)}",
        f"seconds at most      {max((row.seconds for row in played), default=0.0):.1f} "
        "beyond the window",
        f"statements at most   {max((row.statements for row in played), default=0)}",
    ]
    return "\n".join(lines)


def _share(name: str, hits: int, total: int) -> str:
    low, high = wilson(hits, total)
    value = f"{hits / total:.2f}" if total else "-"
    return f"{name:21}{value}  ({hits}/{total}, 95 % {low:.2f} to {high:.2f})"
