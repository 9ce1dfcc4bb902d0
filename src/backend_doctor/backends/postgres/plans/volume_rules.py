"""Statements that move too much: rows sorted on disk, rows the client cannot take."""

from collections.abc import Iterable, Iterator

from backend_doctor.backends.postgres.plans.shape import (
    keeper,
    memory_needed,
    returns_its_rows,
    rows_kept,
)
from backend_doctor.backends.postgres.plans.slowness import (
    BLOCK_BYTES,
    COUNTERS,
    Limits,
    Reason,
    SlowStatement,
    Tables,
)
from backend_doctor.backends.postgres.plans.tree import PlanNode
from backend_doctor.model import Cause, Confidence, Evidence, Remedy, Step, Subject

# more than this for one sort is no setting to give to many sessions
_MOST_MEMORY = 512 * 2**20
# few rows are a large result only where a call reads so much for them: 10 MiB. What is small fits
# into the sockets' buffers, and no server waits to send it
_LARGE_BLOCKS = 10 * 2**20 // BLOCK_BYTES


def _enough_memory(slow: SlowStatement, tree: PlanNode, node: PlanNode) -> int:
    """Mebibytes, a power of two, in which the node's rows fit; what the call wrote tells where
    the plan's estimate is far too low."""
    rows = node.rows if node.actual_rows is None else node.actual_rows
    if node.kind == "Sort" and returns_its_rows(tree):
        rows = max(rows, slow.load.rows_per_call)
    needed, written = memory_needed(node, rows), slow.temp_blocks * BLOCK_BYTES
    needed = needed if needed * 4 >= written else round(2 * written)
    return 1 << max(0, (max(1, needed) * 5 // 4 - 1) // 2**20).bit_length()


def _more_memory(megabytes: int) -> Remedy:
    if megabytes * 2**20 > _MOST_MEMORY:
        return Remedy(
            step=Step.CURE,
            command="Sort fewer rows: filter, aggregate or page before the sort.",
            effect=f"in memory it would take about {megabytes} MB for every such call, too much to "
            "grant",
            language="text",
        )
    return Remedy(
        step=Step.CURE,
        command=f"SET LOCAL work_mem = '{megabytes}MB';",
        effect="in the transaction that sends this statement, right before it: for this call only, "
        f"about {megabytes} MB a call by estimate. Not for the whole server: every sort of every "
        "session may take as much",
    )


def _of_spilling(slow: SlowStatement, node: PlanNode, written: float) -> Iterator[Evidence]:
    kept = rows_kept(node)
    by = f" by {', '.join(node.sort_key)}" if node.sort_key else ""
    yield Evidence(
        key="temp_bytes_per_call",
        value=round(written * BLOCK_BYTES),
        text=f"a call writes {written * BLOCK_BYTES / 2**20:.1f} MiB of temporary files",
        source=COUNTERS if slow.temp_blocks else "EXPLAIN (ANALYZE)",
    )
    yield Evidence(
        key="plan_node",
        value=node.kind,
        text=f"{node.kind}{by} keeps about {kept.rows:.0f} rows of {kept.width} bytes",
        source="EXPLAIN",
    )


def sort_spill(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """A sort or hash does not fit into work_mem, call after call."""
    least = max(limits.spilled_blocks, 0.1 * slow.blocks)
    run = [tree for tree in slow.trees("analyzed") if tree.temp_blocks]
    if not run and slow.temp_blocks < least:
        return None
    found = [(tree, node) for tree in run or slow.trees() if (node := keeper(tree)) is not None]
    if not found:
        return None
    tree, node = max(found, key=lambda one: memory_needed(one[1]))
    written = slow.temp_blocks or float(tree.temp_blocks or 0)
    megabytes = _enough_memory(slow, tree, rows_kept(node))
    name = f"{'An' if node.kind[0] in 'AI' else 'A'} {node.kind}"
    watch = Remedy(
        step=Step.PREVENT,
        command="An index in the order of the sort spares it; log_temp_files = '1MB' shows others.",
        effect="rows that come in order need no memory, least of all where only some are wanted",
        language="text",
    )
    return Reason(
        cause=Cause(
            label="query.sort_spill",
            confidence=Confidence.CERTAIN,
            because=f"work_mem is too small for the {node.kind}: each call writes its rows to disk "
            "and reads them again",
        ),
        summary=f"{name} does not fit into work_mem: one statement writes "
        f"{written * BLOCK_BYTES / 2**20:.1f} MiB of temporary files a call",
        evidence=tuple(_of_spilling(slow, node, written)),
        remedies=(_more_memory(megabytes), watch),
    )


def _writers(slow: SlowStatement) -> Iterator[list[str]]:
    for look in slow.looks:
        yield [one.holder for one in look if (one.wait_type, one.wait) == ("Client", "ClientWrite")]


def fetch_in_pages(applications: Iterable[str], rows: int = 1000) -> Remedy:
    """The client's cure for results that it cannot take at once."""
    who = ", ".join(sorted(set(applications))) or "the application"
    return Remedy(
        step=Step.CURE,
        command="async with connection.transaction():\n"
        f"    async for row in connection.cursor(statement, prefetch={rows}): ...",
        effect=f"in {who}: takes the result in pages, through a server-side cursor or LIMIT with a "
        "key; better still, asks only for rows and columns that it uses",
        language="text",
    )


def _of_waiting(
    slow: SlowStatement, writers: list[str], size: str, when: str
) -> Iterator[Evidence]:
    rows = slow.load.rows_per_call
    yield Evidence(
        key="rows_per_call",
        value=round(rows),
        text=f"a call returns {rows:.0f} rows{size}",
        source=slow.rows_source,
    )
    yield Evidence(
        key="sessions_waiting_for_client",
        value=len(writers),
        text=f"{len(writers)} sessions of {', '.join(sorted(set(writers)))} wait until the client "
        f"reads (ClientWrite), {when}",
        source="pg_stat_activity.wait_event",
    )


def result_too_big(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """The server waits until the client takes its many rows, or a few large ones: in both looks, or
    in one where that look caught several and the most of all seen running it waited so."""
    writers = tuple(_writers(slow))
    most, rows = max(writers, key=len), slow.load.rows_per_call
    both = all(writers)
    seen = sum(map(len, slow.looks))
    mostly = len(most) >= 2 and 2 * len(most) >= seen
    many, large = rows >= limits.result_rows, slow.blocks >= _LARGE_BLOCKS
    if not (many or large) or not (both or mostly):
        return None
    size = "" if many else f" and touches {slow.blocks * BLOCK_BYTES / 2**20:.0f} MiB for them"
    when = "in both looks" if both else "in one of two looks"
    return Reason(
        cause=Cause(
            label="query.result_too_big",
            confidence=Confidence.CERTAIN if both else Confidence.LIKELY,
            because="the server has the rows ready and waits for the client to take them; neither "
            "an index nor a faster server helps",
        ),
        summary=f"The client is slow to take {rows:.0f} rows a call, and the server waits for it",
        evidence=tuple(_of_waiting(slow, most, size, when)),
        remedies=(fetch_in_pages(most) if many else fetch_in_pages(most, rows=10),),
        subjects=tuple(Subject(kind="application", value=name) for name in sorted(set(most))),
    )
