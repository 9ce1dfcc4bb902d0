"""A plan drawn as a tree: its costliest node marked, estimates beside what was counted."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from backend_doctor.reports.layout import Pen, ascii_only
from backend_doctor.text import safe_text, shorten

_UNICODE = {"tee": "├─ ", "end": "└─ ", "bar": "│  ", "gap": "   "}
_ASCII = {"tee": "|- ", "end": "`- ", "bar": "|  ", "gap": "   "}
MARK = "!"
# an estimate that is wrong by this much leads the planner astray
_WRONG = 10.0
_NARROWEST = 24


class _Node(Protocol):
    """What is drawn of a plan's node; masked already, ``rows`` and their like are of one loop."""

    @property
    def kind(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def alias(self) -> str: ...
    @property
    def index(self) -> str: ...
    @property
    def filter(self) -> str: ...
    @property
    def condition(self) -> str: ...
    @property
    def sort_key(self) -> Sequence[str]: ...
    @property
    def rows(self) -> float: ...
    @property
    def actual_rows(self) -> float | None: ...
    @property
    def loops(self) -> float: ...
    @property
    def total_cost(self) -> float: ...
    @property
    def own_cost(self) -> float: ...
    @property
    def removed(self) -> float | None: ...
    @property
    def sort_space_kb(self) -> int | None: ...
    @property
    def sort_on_disk(self) -> bool: ...
    @property
    def hash_batches(self) -> int | None: ...
    @property
    def workers(self) -> int: ...
    @property
    def parallel(self) -> bool: ...
    @property
    def milliseconds(self) -> float | None: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def children(self) -> Sequence["_Node"]: ...


def draw(tree: _Node, pen: Pen, *, unicode: bool) -> list[str]:
    """The plan's lines: two columns for the mark, then the tree, what it says right of it.

    The node with most of the cost (of the time, where it was run) is marked ``!``, as is its
    line in colour. No line is wider than the pen.
    """
    lines = list(_Drawing(tree, pen, unicode).lines(tree, "", ""))
    return lines if unicode else [ascii_only(line) for line in lines]


def _nodes(node: _Node) -> Iterator[_Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _own_time(node: _Node) -> float:
    if node.milliseconds is None:
        return 0.0
    beneath = sum((one.milliseconds or 0.0) * one.loops for one in node.children)
    return max(0.0, node.milliseconds * node.loops - beneath)


def costliest(tree: _Node) -> _Node:
    """The node that takes most by itself: of the measured time, or else of the cost."""
    timed = any(node.milliseconds is not None for node in _nodes(tree))
    return max(_nodes(tree), key=_own_time if timed else lambda node: node.own_cost)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:.2g}"


def _counted(rows: float) -> str:
    return f"{_number(rows)} row" if rows == 1 else f"{_number(rows)} rows"


def _rows(node: _Node) -> str:
    each = " a process" if node.parallel else ""
    if node.actual_rows is None:
        return f"{_counted(node.rows)}{each}"
    if not node.loops:
        return f"never run, {_number(node.rows)} expected"
    said = f"{_counted(node.actual_rows)}{each}, {_number(node.rows)} expected"
    low, high = sorted((max(node.actual_rows, 1.0), max(node.rows, 1.0)))
    if high / low < _WRONG:
        return said
    early = node.stopped and node.actual_rows < node.rows
    return f"{said} (may have stopped early)" if early else f"{said} ({high / low:,.0f}x off)"


def _details(node: _Node) -> Iterator[str]:
    loops = f" x {_number(node.loops)} loops" if node.loops > 1 else ""
    yield f"{_rows(node)}{loops}, cost {_number(node.total_cost)}"
    if node.condition:
        yield f"by {node.condition}"
    if node.filter:
        removed = f": {_number(node.removed * node.loops)} rows thrown away" if node.removed else ""
        yield f"filter {node.filter}{removed}"
    if node.sort_key:
        where = f", {node.sort_space_kb:,} kB on disk" if node.sort_on_disk else ""
        yield f"by {', '.join(node.sort_key)}{where}"
    if (node.hash_batches or 1) > 1:
        yield f"in {node.hash_batches} batches, on disk"


def _title(node: _Node) -> str:
    index = f" using {node.index}" if node.index else ""
    table = f" on {node.table}" if node.table else ""
    alias = f" {node.alias}" if node.alias and node.alias != node.table else ""
    workers = f", {node.workers} workers" if node.workers else ""
    return f"{'Parallel ' if node.parallel else ''}{node.kind}{index}{table}{alias}{workers}"


class _Drawing:
    def __init__(self, tree: _Node, pen: Pen, unicode: bool) -> None:
        self._pen = pen
        self._pieces = _UNICODE if unicode else _ASCII
        self._costliest = costliest(tree)
        self._total = tree.total_cost

    def lines(self, node: _Node, first: str, rest: str) -> Iterator[str]:
        """The node's lines; ``first`` stands before its title, ``rest`` before what follows."""
        marked = node is self._costliest
        # beneath a LIMIT a node's cost is that of all its rows
        share = min(1.0, node.own_cost / self._total) if self._total > 0 else 0.0
        own = f"{share:.0%} of the cost" if marked and share >= 0.005 else ""
        room = self._pen.width - 2 - len(first)
        title = shorten(safe_text(_title(node)), max(_NARROWEST, room - len(own) - 2))
        line = f"{MARK if marked else ' '} {first}{title}"
        line = self._pen.ends(line, own) if own else line
        yield self._pen.paint(MARK, line) if marked else line
        more = self._pieces["bar"] if node.children else self._pieces["gap"]
        for detail in _details(node):
            width = max(_NARROWEST, self._pen.width - 2 - len(rest) - len(more))
            yield f"  {rest}{more}{shorten(safe_text(detail), width)}"
        for number, child in enumerate(node.children, 1):
            last = number == len(node.children)
            yield from self.lines(
                child,
                rest + self._pieces["end" if last else "tee"],
                rest + self._pieces["gap" if last else "bar"],
            )
