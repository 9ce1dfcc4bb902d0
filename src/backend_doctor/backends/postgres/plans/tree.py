"""A plan as the tree that EXPLAIN (VERBOSE, FORMAT JSON) sends, its literals masked."""

from collections.abc import Iterator

import msgspec

from backend_doctor.backends.sql import mask_literals
from backend_doctor.text import shorten

_MOST_DEPTH = 200
_LONGEST_CONDITION = 300


class PlanNode(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a plan; what it lacks is "", None or 0.

    ``kind`` is EXPLAIN's "Node Type", ``relationship`` what it is to its parent (Outer, Inner,
    Member, SubPlan, InitPlan, ...), ``join`` the type of a join. ``schema``, ``table`` and
    ``alias`` name what it scans.
    ``filter`` and ``condition`` (what an index, hash or merge looks up, or a join compares) are
    masked, as are ``join_filter`` (the part of a join's condition that is tried on joined rows),
    ``sort_key`` and ``output``. ``rows`` (estimated), ``actual_rows``, ``removed``
    (by its filter) and ``milliseconds`` (its children's included) are those of one loop;
    of a parallel node, of one process. ``own_cost`` is its cost less its children's. Blocks of
    8 KiB are those of all loops, its children's included.
    ``pruned`` counts the partitions that were left out when the plan was begun; ``backward`` is
    an index read from its end. ``stopped`` when what stands above it may have asked for no more
    rows before it came to its end: then fewer rows than expected say nothing of the estimate.
    """

    kind: str
    schema: str = ""
    table: str = ""
    alias: str = ""
    index: str = ""
    relationship: str = ""
    join: str = ""
    filter: str = ""
    condition: str = ""
    join_filter: str = ""
    sort_key: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    rows: float = 0.0
    actual_rows: float | None = None
    loops: float = 1.0
    width: int = 0
    startup_cost: float = 0.0
    total_cost: float = 0.0
    own_cost: float = 0.0
    removed: float | None = None
    sort_space_kb: int | None = None
    sort_on_disk: bool = False
    hash_batches: int | None = None
    pruned: int = 0
    backward: bool = False
    workers: int = 0
    parallel: bool = False
    read_blocks: int | None = None
    hit_blocks: int | None = None
    temp_blocks: int | None = None
    milliseconds: float | None = None
    stopped: bool = False
    children: tuple["PlanNode", ...] = ()

    @property
    def late_filter(self) -> str:
        """What a join tries on the rows that it has joined, or ""."""
        return self.filter or self.join_filter

    def walk(self) -> Iterator["PlanNode"]:
        """This node and all beneath it, each before its children."""
        yield self
        for child in self.children:
            yield from child.walk()


def _key(field: str) -> str:
    return field.replace("_", " ").title().replace(" By ", " by ")


class _Raw(msgspec.Struct, frozen=True, rename=_key):
    node_type: str
    schema: str = ""
    relation_name: str = ""
    alias: str = ""
    index_name: str = ""
    parent_relationship: str = ""
    join_type: str = ""
    inner_unique: bool = False
    filter: str = ""
    index_cond: str = ""
    recheck_cond: str = ""
    hash_cond: str = ""
    merge_cond: str = ""
    join_filter: str = ""
    sort_key: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    plan_rows: float = 0.0
    plan_width: int = 0
    startup_cost: float = 0.0
    total_cost: float = 0.0
    actual_rows: float | None = None
    actual_loops: float = 1.0
    actual_total_time: float | None = None
    rows_removed_by_filter: float | None = None
    rows_removed_by_join_filter: float | None = None
    sort_space_used: int | None = None
    sort_space_type: str = ""
    hash_batches: int | None = None
    subplans_removed: int = 0
    scan_direction: str = ""
    workers_planned: int = 0
    parallel_aware: bool = False
    shared_read_blocks: int | None = None
    shared_hit_blocks: int | None = None
    temp_written_blocks: int | None = None
    plans: "tuple[_Raw, ...]" = ()


class _Document(msgspec.Struct, frozen=True, rename=_key):
    plan: _Raw
    execution_time: float | None = None


def _masked(condition: str) -> str:
    return shorten(mask_literals(condition), _LONGEST_CONDITION)


def _children_cost(raw: _Raw) -> float:
    outer = (one.plan_rows for one in raw.plans if one.parent_relationship == "Outer")
    again = max(1.0, next(outer, 1.0)) if raw.node_type == "Nested Loop" else 1.0
    return sum(
        child.total_cost * (again if child.parent_relationship == "Inner" else 1.0)
        for child in raw.plans
    )


def _reads_all(raw: _Raw) -> bool:
    """Whether it has read all rows beneath it before its first one is returned."""
    alone = raw.node_type == "Aggregate" and raw.plan_rows <= 1
    return raw.node_type in ("Sort", "Hash", "WindowAgg") or alone


def _stops(raw: _Raw, child: _Raw) -> bool:
    """Whether a node may leave a child before its end, as LIMIT, EXISTS and joins do."""
    kind, inner = raw.node_type, child.parent_relationship == "Inner"
    if child.parent_relationship in ("SubPlan", "InitPlan") or kind == "Merge Join":
        return True
    if kind == "Limit":
        return (raw.actual_rows or 0.0) >= raw.plan_rows
    if kind == "Nested Loop":
        return inner and (raw.inner_unique or raw.join_type in ("Semi", "Anti"))
    # the other side of a hash that turned out empty is not read
    hashed = next((one for one in raw.plans if one.node_type == "Hash"), None)
    return kind == "Hash Join" and not inner and hashed is not None and not hashed.actual_rows


def _node(raw: _Raw, depth: int = 0, stopped: bool = False) -> PlanNode:
    if depth > _MOST_DEPTH:
        raise ValueError(f"the plan is deeper than {_MOST_DEPTH} nodes")
    conditions = (raw.index_cond or raw.recheck_cond, raw.hash_cond, raw.merge_cond)
    removed = (raw.rows_removed_by_filter, raw.rows_removed_by_join_filter)
    counted = [one for one in removed if one is not None]
    beneath = stopped and not _reads_all(raw)
    return PlanNode(
        kind=raw.node_type,
        schema=raw.schema,
        table=raw.relation_name,
        alias=raw.alias,
        index=raw.index_name,
        relationship=raw.parent_relationship,
        join=raw.join_type,
        filter=_masked(raw.filter),
        condition=_masked(" AND ".join(filter(None, (*conditions, raw.join_filter)))),
        join_filter=_masked(raw.join_filter),
        sort_key=tuple(map(_masked, raw.sort_key)),
        output=tuple(map(_masked, raw.output)),
        rows=raw.plan_rows,
        actual_rows=raw.actual_rows,
        loops=raw.actual_loops,
        width=raw.plan_width,
        startup_cost=raw.startup_cost,
        total_cost=raw.total_cost,
        own_cost=max(0.0, raw.total_cost - _children_cost(raw)),
        removed=sum(counted) if counted else None,
        sort_space_kb=raw.sort_space_used,
        sort_on_disk=raw.sort_space_type == "Disk",
        hash_batches=raw.hash_batches,
        pruned=raw.subplans_removed,
        backward=raw.scan_direction == "Backward",
        workers=raw.workers_planned,
        parallel=raw.parallel_aware,
        read_blocks=raw.shared_read_blocks,
        hit_blocks=raw.shared_hit_blocks,
        temp_blocks=raw.temp_written_blocks,
        milliseconds=raw.actual_total_time,
        stopped=stopped,
        children=tuple(
            _node(child, depth + 1, beneath or _stops(raw, child)) for child in raw.plans
        ),
    )


def read_tree(document: str) -> PlanNode:
    """The plan in EXPLAIN's JSON, from its root. Raises ValueError when it is none."""
    try:
        found = msgspec.json.decode(document, type=tuple[_Document, ...])
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"the server sent no plan: {type(error).__name__}") from error
    if not found:
        raise ValueError("the server sent no plan: it is empty")
    return _node(found[0].plan)
