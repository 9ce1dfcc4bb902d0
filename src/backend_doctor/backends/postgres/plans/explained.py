"""Reads EXPLAIN's JSON: what is kept of a plan, its literals masked."""

from collections.abc import Iterator
from typing import Any

import msgspec

from backend_doctor.backends.postgres.plans.predicates import (
    Wrapped,
    comparison,
    conditions,
    wrapped,
)
from backend_doctor.backends.postgres.plans.tree import PlanNode, read_tree
from backend_doctor.backends.sql import mask_literals
from backend_doctor.text import shorten

_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond")
# above these a statement's rows are not the scan's
_FOLDING = {
    "Aggregate", "Group", "Limit", "Unique", "SetOp", "Nested Loop", "Hash Join", "Merge Join",
    "Append", "Merge Append", "WindowAgg", "ProjectSet", "LockRows", "ModifyTable",
}  # fmt: skip


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """A scan that reads a whole table or index and filters.

    ``rows`` it returns in one loop (estimated, or actual when the plan was run), ``removed`` by
    the filter when it was run. ``equal`` and ``ranged`` are columns that the filter compares
    with something that an index could look up, those in ``as_text`` after a conversion to text;
    ``others`` counts its further conditions, of which ``wrapped`` are those on one column.
    ``cost_share`` is its part of the plan's cost, 0 to 1. ``direct`` when the statement returns
    just its rows: no join, aggregate or limit above.
    """

    schema: str
    table: str
    node: str
    index: str
    filter: str
    rows: float
    loops: float
    cost_share: float
    direct: bool
    equal: tuple[str, ...] = ()
    ranged: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    others: int = 0
    removed: float | None = None
    wrapped: tuple[Wrapped, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One plan. ``values`` is generic, common, rare or analyzed; ``outline`` its nodes in a line,
    ``tree`` the nodes themselves."""

    values: str
    cost: float
    outline: str
    scans: tuple[Scan, ...]
    changes: bool = False
    milliseconds: float | None = None
    buffers: int | None = None
    tree: PlanNode | None = None


class _Place(msgspec.Struct, frozen=True):
    loops: float
    direct: bool
    total: float


def _walk(node: dict[str, Any], place: _Place) -> Iterator[tuple[dict[str, Any], _Place]]:
    yield node, place
    kind = node.get("Node Type", "")
    direct = place.direct and kind not in _FOLDING
    children = node.get("Plans", [])
    outer: dict[str, Any] = next(
        (c for c in children if c.get("Parent Relationship") == "Outer"), {}
    )
    for child in children:
        inner = kind == "Nested Loop" and child.get("Parent Relationship") == "Inner"
        loops = place.loops * max(1.0, float(outer.get("Plan Rows", 1))) if inner else place.loops
        yield from _walk(child, _Place(loops, direct, place.total))


def _workers(node: dict[str, Any]) -> float:
    """What a parallel node's estimate is a share of (get_parallel_divisor in costsize.c)."""
    if not node.get("Parallel Aware"):
        return 1.0
    workers = float(node.get("Workers Planned", 0))
    return workers + max(0.0, 1.0 - 0.3 * workers)


def _nodes(root: dict[str, Any]) -> list[tuple[dict[str, Any], _Place]]:
    found = list(_walk(root, _Place(1.0, True, float(root.get("Total Cost", 0)))))
    planned = max((node.get("Workers Planned", 0) for node, _ in found), default=0)
    return [({**node, "Workers Planned": planned}, place) for node, place in found]


def _whole(node: dict[str, Any]) -> bool:
    kind = node.get("Node Type")
    index = kind in ("Index Scan", "Index Only Scan") and not node.get("Index Cond")
    return bool((kind == "Seq Scan" or index) and node.get("Filter") and node.get("Relation Name"))


def _scan(node: dict[str, Any], place: _Place) -> Scan:
    parts = conditions(node["Filter"])
    found = [comparison(part, node.get("Alias", "")) for part in parts]
    # varchar is read as text; any other conversion keeps an index from serving
    usable = [one for one in found if one is not None and one.cast in ("", "text")]
    loops = float(node.get("Actual Loops", place.loops))
    actual, removed = node.get("Actual Rows"), node.get("Rows Removed by Filter")
    rows = float(node["Plan Rows"]) * _workers(node) if actual is None else float(actual)
    cost = float(node.get("Total Cost", 0)) * place.loops
    return Scan(
        schema=node.get("Schema", ""),
        table=node["Relation Name"],
        node=node["Node Type"],
        index=node.get("Index Name", ""),
        filter=shorten(mask_literals(node["Filter"]), 300),
        rows=rows,
        loops=loops,
        cost_share=min(1.0, cost / place.total) if place.total > 0 else 1.0,
        direct=place.direct,
        equal=tuple(dict.fromkeys(one.column for one in usable if one.operator == "=")),
        ranged=tuple(dict.fromkeys(one.column for one in usable if one.operator != "=")),
        as_text=tuple(one.column for one in usable if one.cast),
        others=len(parts) - len(usable),
        wrapped=tuple(filter(None, (wrapped(part, node.get("Alias", "")) for part in parts))),
        removed=None if actual is None else float(removed or 0),
    )


def _outlined(node: dict[str, Any]) -> str:
    table = node.get("Relation Name")
    index = node.get("Index Name")
    on = f" on {table}" if table else ""
    return f"{node.get('Node Type', '?')}{f' using {index}' if index else ''}{on}"


def read_plan(document: str, values: str) -> Plan:
    """The plan in EXPLAIN's JSON. Raises ValueError when it is none."""
    tree = read_tree(document)
    try:
        whole = msgspec.json.decode(document)[0]
        nodes = _nodes(whole["Plan"])
        scans = tuple(_scan(node, place) for node, place in nodes if _whole(node))
        root = whole["Plan"]
        buffers = [root[key] for key in ("Shared Hit Blocks", "Shared Read Blocks") if key in root]
        return Plan(
            values=values,
            cost=float(root["Total Cost"]),
            outline=shorten(" > ".join(_outlined(node) for node, _ in nodes), 300),
            scans=scans,
            changes=any(node["Node Type"] in ("ModifyTable", "LockRows") for node, _ in nodes),
            milliseconds=whole.get("Execution Time"),
            buffers=sum(buffers) if buffers else None,
            tree=tree,
        )
    except (KeyError, IndexError, TypeError, RecursionError, msgspec.DecodeError) as error:
        raise ValueError(f"the server sent no plan: {type(error).__name__}") from error


def parameter_columns(document: str) -> dict[int, tuple[str, str, str, bool]]:
    """The column that each placeholder is compared with: schema, table, column, as an array."""
    found: dict[int, tuple[str, str, str, bool]] = {}
    for node, _ in _nodes(msgspec.json.decode(document)[0]["Plan"]):
        for condition in (node[key] for key in _CONDITIONS if key in node):
            for part in conditions(condition):
                compared = comparison(part, node.get("Alias", ""))
                if compared is None:
                    continue
                place = (node.get("Schema", ""), node.get("Relation Name", ""), compared.column)
                for number in compared.parameters:
                    found.setdefault(number, (*place, compared.is_array))
    return found
