"""Plans in a shape that does not fit: rows compared pair by pair, one plan for all values."""

from collections import defaultdict
from collections.abc import Sequence

from backend_doctor.backends.postgres.plans.estimate_rules import more_than_planned
from backend_doctor.backends.postgres.plans.shape import (
    late_filters,
    loops_compared,
    most_blocks,
    returns_its_rows,
    shape,
)
from backend_doctor.backends.postgres.plans.slowness import (
    COUNTERS,
    Limits,
    Reason,
    SlowStatement,
    Tables,
)
from backend_doctor.backends.postgres.plans.tree import PlanNode
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.model import Cause, Confidence, Evidence, Remedy, Step

_LEAST_BLOCKS = 1000.0
# a plan of its own must touch so many times fewer blocks
_OTHER_PLAN = 4.0
# comparing two rows in memory takes some 10 ns at least: a call that took less compared fewer
_MS_A_PAIR = 1e-5
_FILTERS_OUTER = (
    "-- the filter is on the side that an outer join may leave empty: where rows without a\n"
    "-- partner cannot pass it, JOIN instead of LEFT JOIN; where only those can, NOT EXISTS;\n"
    "-- where it asks for one table alone, in a subquery of that table\n"
)
_FILTERS_BOTH = (
    "-- the filter compares columns of both tables, or computes with them: say what is equal\n"
    "-- as column = column; give each table a filter of its own; or store what is computed\n"
    "-- in one of the tables, and index it\n"
)


def _sides(node: PlanNode) -> str:
    return " and ".join(
        next((one.table for one in side.walk() if one.table), side.kind)
        for side in node.children[:2]
    )


def _by_equality() -> Remedy:
    return Remedy(
        step=Step.CURE,
        command="Join by equality on a column that one side has indexed; where a range must be\n"
        "compared, narrow both sides down before the join.",
        effect="lets the planner look rows up, or hash them, instead of comparing all with all",
        language="text",
    )


def _pairs(slow: SlowStatement, limits: Limits) -> Reason | None:
    for tree in slow.trees("analyzed") or slow.trees("generic", "common"):
        node, pairs = loops_compared(tree) or (tree, 0.0)
        run = node.actual_rows is not None
        quick = slow.load.calls and not run and slow.load.mean_ms < pairs * _MS_A_PAIR
        if pairs < limits.pairs or quick or node.total_cost < 0.5 * tree.total_cost:
            continue
        joined = node.condition or node.children[1].filter
        condition = f"on {joined}" if joined else "without any condition: one is missing"
        text = f"{_sides(node)} are joined {condition}"
        pair = Evidence(
            key="compared_pairs" if run else "estimated_pairs",
            value=round(pairs),
            text=text if run else f"{text}; the planner expects {pairs:.0f} pairs",
            source="EXPLAIN (ANALYZE)" if run else "EXPLAIN",
        )
        return Reason(
            cause=Cause(
                label="query.nested_loop_explosion",
                confidence=Confidence.CERTAIN if run else Confidence.LIKELY,
                because=f"each row of one side is compared with each of the other: {text}",
            ),
            summary=f"A nested loop over {_sides(node)} compares {pairs:.0f} pairs a call"
            + ("" if run else ", as the planner expects,"),
            evidence=(pair,),
            remedies=(_by_equality(),),
        )
    return None


def is_filter_late(node: PlanNode, tree: PlanNode) -> bool:
    """Whether the rows that a join throws away are its filter's doing and most of the plan's; a
    nested loop without a look-up compares pairs by what EXPLAIN calls its filter."""
    compares = node.kind == "Nested Loop" and node.join_filter
    return not compares and node.total_cost >= 0.5 * tree.total_cost


def _before_the_join(node: PlanNode) -> Remedy:
    return Remedy(
        step=Step.CURE,
        command=f"{_FILTERS_OUTER if node.filter else _FILTERS_BOTH}-- {node.late_filter}",
        effect="lets the rows be left out before they are joined; a change in the application, "
        "and only where it asks the same",
        language="text",
    )


def late_filter(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """A run joined very many rows, and a filter after the join threw nearly all of them away."""
    found = [
        (node, removed)
        for tree in slow.trees("analyzed")
        for node, removed in late_filters(tree)
        if is_filter_late(node, tree)
    ]
    if not found:
        return None
    node, removed = max(found, key=lambda one: one[1])
    kept = (node.actual_rows or 0.0) * node.loops
    return Reason(
        cause=Cause(
            label="query.filter_after_join",
            confidence=Confidence.CERTAIN,
            because=f"{node.late_filter} can be tried only once {_sides(node)} are "
            f"joined: {removed:.0f} joined rows are thrown away to keep {kept:.0f}",
        ),
        summary=f"{_sides(node)} are joined before a filter throws {removed:.0f} rows away",
        evidence=(
            Evidence(
                key="rows_filtered_after_join",
                value=round(removed),
                text=f"{removed:.0f} joined rows are thrown away, {kept:.0f} are kept",
                source="EXPLAIN (ANALYZE)",
            ),
            Evidence(
                key="filter",
                value=node.late_filter,
                text=f"the {node.kind} filters by {node.late_filter}",
                source="EXPLAIN (ANALYZE)",
            ),
        ),
        remedies=(_before_the_join(node),),
    )


def _underestimated(slow: SlowStatement, limits: Limits) -> Reason | None:
    """The loop runs far more often than any plan expects, and the statistics are fresh."""
    loops = [tree for tree in slow.trees() if any(one.kind == "Nested Loop" for one in tree.walk())]
    miss = more_than_planned(slow, limits) if len(slow.trees()) > 1 else None
    if not loops or miss is None or miss.what != "blocks":
        return None
    node = next(one for one in loops[0].walk() if one.kind == "Nested Loop")
    return Reason(
        cause=Cause(
            label="query.nested_loop_explosion",
            confidence=Confidence.POSSIBLE,
            because=f"a nested loop over {_sides(node)} is planned for few rows, and {miss.text}",
        ),
        summary=f"A nested loop over {_sides(node)} runs far more often than it is planned for",
        evidence=(
            Evidence(
                key="blocks_per_call", value=round(miss.actual), text=miss.text, source=COUNTERS
            ),
        ),
        remedies=(
            Remedy(
                step=Step.CONFIRM,
                command="backend-doctor check --only postgres.slow_queries --analyze",
                effect="runs it once, if it is safe, and shows where rows and estimates part; "
                "columns that depend on one another want CREATE STATISTICS",
                language="sh",
            ),
        ),
    )


def nested_loop(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """A nested loop runs its inner side far too often."""
    return _pairs(slow, limits) or _underestimated(slow, limits)


def _expected(slow: SlowStatement, common: PlanNode, rare: PlanNode) -> float:
    """The blocks that a call would touch on average if each had a plan of its own: between both,
    by the rows that calls return, where these tell which values are asked for."""
    blocks = most_blocks(common), most_blocks(rare)
    apart = common.rows - rare.rows
    if not (returns_its_rows(common) and returns_its_rows(rare)) or abs(apart) < 1:
        return max(blocks)
    part = min(1.0, max(0.0, (slow.load.rows_per_call - rare.rows) / apart))
    return part * blocks[0] + (1 - part) * blocks[1]


def _differ(numbers: Sequence[float], limits: Limits) -> bool:
    return max(numbers) >= limits.misestimate * max(1.0, min(numbers))


def _hidden_by_a_limit(trees: Sequence[PlanNode], limits: Limits) -> bool:
    """Whether scans of a table find far more rows for one value than for another: the costs of
    plans that end early do not tell."""
    nodes = [node for tree in trees for node in tree.walk()]
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for node in nodes:
        if node.table and (node.filter or node.condition):
            found[node.schema, node.table, node.alias].append(node.rows)
    ends_early = any(node.kind == "Limit" for node in nodes)
    return ends_early and any(_differ(rows, limits) for rows in found.values())


def _plan_each_call(slow: SlowStatement) -> Remedy:
    role = quote_identifier(slow.planned.role)
    return Remedy(
        step=Step.CURE,
        command=f"ALTER ROLE {role} SET plan_cache_mode = force_custom_plan;",
        effect=f"new sessions of {slow.planned.role} plan every call for its own values, which "
        "costs a little planning each time; SET LOCAL in the transaction does it for this "
        "statement alone",
        changes_state=True,
    )


def parameter_sensitive(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """One plan serves all values, although those that are asked for have a far better one."""
    generic = next(iter(slow.trees("generic")), None)
    own = slow.trees("common", "rare")
    if generic is None or len(own) < 2 or slow.blocks < _LEAST_BLOCKS:
        return None
    costs = [tree.total_cost for tree in (generic, *own)]
    alike = len({shape(tree) for tree in (generic, *own)}) < 2
    expected = _expected(slow, *own[:2])
    if alike or not (_differ(costs, limits) or _hidden_by_a_limit((generic, *own), limits)):
        return None
    if slow.blocks < _OTHER_PLAN * expected:
        return None
    rows, touched = slow.load.rows_per_call, f"{slow.blocks:.0f} blocks"
    return Reason(
        cause=Cause(
            label="plan.parameter_sensitive",
            confidence=Confidence.LIKELY,
            because="its plan differs with the values, and what a call touches fits no plan that "
            "is made for its own values: one plan is used for all of them",
        ),
        summary=f"One plan serves all values of a statement: a call touches {touched} where one "
        f"of its own would touch about {expected:.0f}",
        evidence=(
            Evidence(
                key="plan_costs",
                value=tuple(round(cost) for cost in costs),
                text=f"its plan costs {costs[0]:.0f} for all values, {costs[1]:.0f} for the most "
                f"common one, {costs[2]:.0f} for a rare one, and has not always the same shape",
                source="EXPLAIN",
            ),
            Evidence(
                key="blocks_per_call",
                value=round(slow.blocks),
                text=f"a call touches {touched} to return {rows:.0f} rows",
                source=COUNTERS,
            ),
        ),
        remedies=(_plan_each_call(slow),),
    )
