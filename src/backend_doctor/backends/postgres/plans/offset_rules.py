"""Pages far back: OFFSET reads and throws away all rows before them."""

from collections.abc import Iterator

import msgspec

from backend_doctor.backends.postgres.plans.shape import most_blocks, skipping, streams
from backend_doctor.backends.postgres.plans.slowness import Limits, Reason, SlowStatement, Tables
from backend_doctor.backends.postgres.plans.tree import PlanNode
from backend_doctor.model import Cause, Confidence, Evidence, Remedy, Step

# notes: 117-147 ms and 7,500 blocks for 20 rows; an OFFSET of 100 stays below 10 a row
_BLOCKS_A_ROW, _LEAST_BLOCKS = 100.0, 1000.0
_MANY_SKIPPED, _SKIPPED_A_ROW = 10_000.0, 10.0


def _order(limit: PlanNode, tables: Tables) -> tuple[str, ...]:
    """The columns that a Limit's rows come ordered by, as ORDER BY would name them."""
    for node in limit.walk():
        if node.sort_key:
            return node.sort_key
        if node.index and node.kind != "Bitmap Index Scan":
            table = tables.get((node.schema, node.table))
            known = (
                [one.columns for one in table.indexes if one.name == node.index] if table else []
            )
            way = " DESC" if node.backward else ""
            return tuple(f"{column}{way}" for column in known[0] if column) if known else ()
    return ()


class _Skipped(msgspec.Struct, frozen=True):
    """The Limit that skips many rows. ``read`` rows are read to return ``returned``, by the plan
    or its run (``source``); None where only the counters tell."""

    limit: PlanNode
    confidence: Confidence
    read: float | None = None
    returned: float = 0.0
    source: str = ""


def _by_its_plan(slow: SlowStatement) -> _Skipped | None:
    """What a run counted; else what an OFFSET with a number, and the plan for it, promise."""
    runs = slow.trees("analyzed")
    for tree in runs or slow.trees():
        limit = skipping(tree)
        if limit is None:
            continue
        beneath = limit.children[0]
        if limit.actual_rows is not None:
            read, returned = beneath.actual_rows or 0.0, limit.actual_rows
            said = _Skipped(limit, Confidence.CERTAIN, read, returned, "EXPLAIN (ANALYZE)")
        else:
            read = min(beneath.rows, slow.planned.skips + limit.rows)
            returned = limit.rows
            said = _Skipped(limit, Confidence.LIKELY, read, returned, "EXPLAIN")
        many = max(_MANY_SKIPPED, _SKIPPED_A_ROW * returned)
        if read - returned >= many and (runs or slow.planned.skips):
            return said
    return None


def _skipped(slow: SlowStatement) -> _Skipped | None:
    """What a call touches is held against the first page's plan, where one could be had, else the
    plan must be one whose pages cost by their number alone."""
    if found := _by_its_plan(slow):
        return found
    limits = [(tree, skipping(tree)) for tree in slow.trees("generic", "common", "rare")]
    deep = next((limit for _, limit in limits if limit), None)
    rows = max(1.0, slow.load.rows_per_call)
    if deep is None or slow.blocks < max(_LEAST_BLOCKS, _BLOCKS_A_ROW * rows):
        return None
    first_page = max((most_blocks(tree) for tree, limit in limits if not limit), default=None)
    if first_page is None:
        return _Skipped(deep, Confidence.LIKELY) if streams(deep.children[0]) else None
    return _Skipped(deep, Confidence.LIKELY) if slow.blocks >= 10 * first_page else None


def _keyset(order: tuple[str, ...]) -> Remedy:
    names = [key.removesuffix(" DESC").rsplit(".", 1)[-1] for key in order] or ["id"]
    backward = bool(order) and order[0].endswith(" DESC")
    columns = ", ".join(names)
    by = ", ".join(f"{name} DESC" if backward else name for name in names)
    last = ", ".join(f"$last_{name.strip(chr(34))}" for name in names)
    return Remedy(
        step=Step.CURE,
        command=f"... WHERE ({columns}) {'<' if backward else '>'} ({last})\n"
        f"ORDER BY {by} LIMIT $page_size;   -- no OFFSET",
        effect="keyset pagination: the next page begins behind the last row of the page before, so "
        f"every page costs what the first does. ({columns}) must be unique together, else add the "
        "key, and an index must have them in this order",
        language="text",
    )


def _cost_of_skipping(slow: SlowStatement, found: _Skipped) -> str:
    if slow.blocks or found.read is None:
        rows = slow.load.rows_per_call
        return f"a call touches {slow.blocks:.0f} blocks to return {rows:.0f} rows"
    return f"a call reads {found.read:,.0f} rows to return {found.returned:,.0f}"


def _of_skipping(
    slow: SlowStatement, found: _Skipped, order: tuple[str, ...]
) -> Iterator[Evidence]:
    by = f" ordered by {', '.join(order)}" if order else ""
    rows, run = slow.load.rows_per_call, found.confidence is Confidence.CERTAIN
    if slow.blocks:
        yield Evidence(
            key="blocks_per_call",
            value=round(slow.blocks),
            text=f"a call touches {slow.blocks:.0f} blocks of 8 KiB to return {rows:.0f} rows",
            source=slow.source,
        )
        yield Evidence(
            key="rows_per_call",
            value=round(rows, 1),
            text=f"a call returns {rows:.1f} rows{by}, and skips those before (OFFSET)",
            source=slow.rows_source,
        )
    if found.read is not None:
        text = (
            f"its run read {found.read:,.0f} rows{by}, and returned {found.returned:,.0f}"
            if run
            else f"by its plan it reads {found.read:,.0f} rows{by}, to return "
            f"{found.returned:,.0f} (OFFSET {slow.planned.skips:,})"
        )
        yield Evidence(key="rows_read", value=round(found.read), text=text, source=found.source)
    counted = [plan.buffers for plan in slow.planned.plans if plan.values == "analyzed"]
    if run and counted and counted[0]:
        text = f"its run touched {counted[0]:,} blocks of 8 KiB"
        yield Evidence(key="blocks_read", value=counted[0], text=text, source=found.source)


def deep_offset(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """OFFSET reads and throws away all rows before the page."""
    found = _skipped(slow)
    if found is None:
        return None
    order = _order(found.limit, tables)
    cap = Remedy(
        step=Step.STOP,
        command="Refuse pages beyond the first hundred; nobody turns to them by hand.",
        effect="ends the costly calls, which are often a crawler's or an export's",
        language="text",
    )
    return Reason(
        cause=Cause(
            label="query.deep_offset",
            confidence=found.confidence,
            because="OFFSET reads every row that it skips: a page costs the more, the further back "
            "it lies",
        ),
        summary=f"One statement skips rows by OFFSET: {_cost_of_skipping(slow, found)}",
        evidence=tuple(_of_skipping(slow, found, order)),
        remedies=(cap, _keyset(order)),
    )
