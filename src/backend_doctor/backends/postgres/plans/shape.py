"""What a plan expects to do, told from its tree by arithmetic alone."""

import math
from collections.abc import Iterator

from backend_doctor.backends.postgres.plans.tree import PlanNode

# a b-tree of a billion rows is hardly deeper; the planner does not charge for a descent's pages
_DESCENT = 4
_MOST_TABLES = 12
# these keep rows in memory and write them to temporary files beyond work_mem
_KEEPERS = frozenset(
    {"Sort", "Incremental Sort", "Hash", "Materialize", "Aggregate", "WindowAgg", "CTE Scan",
     "Memoize", "SetOp"}
)  # fmt: skip
_INDEXED = frozenset({"Index Scan", "Index Only Scan", "Bitmap Heap Scan"})
# beneath these a node returns rows only after it has read all of its own
_BLOCKING = frozenset({"Sort", "Incremental Sort", "Aggregate", "Hash Join", "WindowAgg", "Unique"})
# joined rows that are filtered out: from some tenths of a second on, and nearly all of them
_LATE_ROWS, _LATE_RATIO = 100_000.0, 100.0
_FOLDING = frozenset({"Limit", "Aggregate", "Group", "Unique", "SetOp", "ProjectSet"})


def tables_read(tree: PlanNode) -> set[tuple[str, str]]:
    """Schema and name of the tables that a plan reads, at most the twelve costliest."""
    nodes = sorted(tree.walk(), key=lambda node: node.own_cost, reverse=True)
    places = dict.fromkeys((node.schema, node.table) for node in nodes if node.table)
    return set(list(places)[:_MOST_TABLES])


def looped(node: PlanNode, loops: float = 1.0) -> Iterator[tuple[PlanNode, float]]:
    """Each node with how often the planner expects it to be run."""
    yield node, loops
    outer = next((one.rows for one in node.children if one.relationship == "Outer"), 1.0)
    for child in node.children:
        inner = node.kind == "Nested Loop" and child.relationship == "Inner"
        yield from looped(child, loops * max(1.0, outer) if inner else loops)


def _lookups(node: PlanNode, loops: float = 1.0, part: float = 1.0) -> float:
    """Blocks that look-ups in indexes touch; a Limit above wants but ``part`` of the rows."""
    own = loops * (_DESCENT + part * node.rows) if node.kind in _INDEXED else 0.0
    if node.kind in _BLOCKING:
        part = 1.0
    outer = next((one.rows for one in node.children if one.relationship == "Outer"), 1.0)
    for child in node.children:
        inner = node.kind == "Nested Loop" and child.relationship == "Inner"
        cut = min(1.0, node.total_cost / child.total_cost) if child.total_cost else 1.0
        own += _lookups(
            child,
            loops * max(1.0, outer * part) if inner else loops,
            part * cut if node.kind == "Limit" else 1.0 if inner else part,
        )
    return own


def most_blocks(tree: PlanNode) -> float:
    """The most blocks that a run would touch if the planner were right; infinite where its
    numbers do not tell. A page costs at least 1 (seq_page_cost), but for those of a descent into
    an index and those that repeated look-ups find in the cache."""
    if any(node.relationship == "SubPlan" for node in tree.walk()):
        return math.inf
    return tree.total_cost + _lookups(tree)


def returns_its_rows(tree: PlanNode) -> bool:
    """Whether the rows that a statement returns are those that its plan's joins and scans find."""
    return not any(node.kind in _FOLDING for node in tree.walk() if node.relationship != "InitPlan")


def memory_needed(node: PlanNode, rows: float | None = None) -> int:
    """Bytes in which so many rows of the node fit: 24 a row for the sort itself (SortTuple) and
    32 for header and alignment."""
    return round((node.rows if rows is None else rows) * (node.width + 56))


def keeper(tree: PlanNode) -> PlanNode | None:
    """The node that keeps most rows in memory, and writes them to files where they do not fit."""
    found = (node for node in tree.walk() if node.kind in _KEEPERS)
    return max(found, key=lambda node: (node.sort_on_disk, memory_needed(node)), default=None)


def rows_kept(node: PlanNode) -> PlanNode:
    """The node whose rows a keeper keeps: itself, but an aggregate of all rows those beneath it,
    to sort them for a DISTINCT or ORDER BY of its own."""
    beneath = (one for one in node.children if one.relationship == "Outer")
    alone = node.kind == "Aggregate" and node.rows <= 1
    return next(beneath, node) if alone else node


def skipping(tree: PlanNode) -> PlanNode | None:
    """The Limit at the top that skips rows (OFFSET), by its costs, or by its rows if it was run.

    A Limit without an OFFSET starts as cheaply as what is beneath it (adjust_limit_rows_costs).
    """
    for node in tree.walk():
        if node.kind == "Limit" and node.children:
            child = node.children[0]
            return node if node.startup_cost > child.startup_cost * 1.000001 + 0.01 else None
        if len(node.children) != 1:
            break
    return None


def streams(node: PlanNode) -> bool:
    """Whether its first rows come without reading all the others, and none is filtered out."""
    nodes = list(node.walk())
    return not any(one.kind in _BLOCKING or one.filter for one in nodes) and any(
        one.kind in _INDEXED or one.kind == "Seq Scan" for one in nodes
    )


def loops_compared(tree: PlanNode) -> tuple[PlanNode, float] | None:
    """The nested loop that compares most pairs of rows without an index, and how many."""
    found = []
    for node, loops in looped(tree):
        if node.kind != "Nested Loop" or len(node.children) < 2:
            continue
        outer, inner = node.children[0], node.children[1]
        reader = inner.children[0] if inner.kind == "Materialize" and inner.children else inner
        if reader.kind in ("Seq Scan", "Nested Loop", "Hash Join"):
            runs = outer.rows if outer.actual_rows is None else outer.actual_rows * outer.loops
            each = inner.rows if inner.actual_rows is None else inner.actual_rows
            found.append((node, loops * max(1.0, runs) * max(1.0, each)))
    return max(found, key=lambda one: one[1], default=None)


def late_filters(tree: PlanNode) -> Iterator[tuple[PlanNode, float]]:
    """The joins of a run that threw most of the rows away that they had joined, and how many."""
    for node in tree.walk():
        removed = (node.removed or 0.0) * node.loops
        kept = (node.actual_rows or 0.0) * node.loops
        joins = node.kind == "Nested Loop" or node.kind.endswith("Join")
        if joins and removed >= _LATE_ROWS and removed >= _LATE_RATIO * kept:
            yield node, removed


def shape(tree: PlanNode) -> tuple[str, ...]:
    """Its nodes without their numbers; parallel or not is the same shape."""
    kinds = (
        (node.kind, node.table, node.index)
        for node in tree.walk()
        if node.kind not in ("Gather", "Gather Merge", "Materialize", "Memoize", "Limit")
    )
    return tuple(" ".join(filter(None, one)) for one in kinds)
