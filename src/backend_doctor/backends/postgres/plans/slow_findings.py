"""Puts the reasons why statements are slow into findings, one root cause each."""

from collections.abc import Iterator

from backend_doctor.backends.postgres.locks import shut_out
from backend_doctor.backends.postgres.plans.estimate_rules import stale_statistics
from backend_doctor.backends.postgres.plans.expression_rules import (
    missing_expression_index,
    non_sargable,
)
from backend_doctor.backends.postgres.plans.join_rules import (
    is_filter_late,
    late_filter,
    nested_loop,
    parameter_sensitive,
)
from backend_doctor.backends.postgres.plans.offset_rules import deep_offset
from backend_doctor.backends.postgres.plans.plans import Plans
from backend_doctor.backends.postgres.plans.scan_rules import (
    Unclear,
    judge_scans,
    missing_index,
)
from backend_doctor.backends.postgres.plans.shape import late_filters
from backend_doctor.backends.postgres.plans.slowness import (
    COUNTERS,
    Limits,
    Reason,
    Rule,
    SlowStatement,
    Tables,
)
from backend_doctor.backends.postgres.plans.tree import PlanNode
from backend_doctor.backends.postgres.plans.volume_rules import result_too_big, sort_spill
from backend_doctor.backends.postgres.remedies import who_locks
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.model import Evidence, Finding, Remedy, Status, Step, Subject

# where two are equally sure, the earlier one is the other's reason
RULES: tuple[Rule, ...] = (
    result_too_big,
    missing_index,
    missing_expression_index,
    non_sargable,
    deep_offset,
    stale_statistics,
    parameter_sensitive,
    nested_loop,
    late_filter,
    sort_spill,
)
_EXPLAINS = (
    "query.pileup", "pool.server_full", "pool.undersized", "reach.full",
    "cache.working_set", "temp.heavy_spills", "http.slow",
)  # fmt: skip
_MANY_PARTITIONS = 4


def reasons(slow: SlowStatement, tables: Tables, limits: Limits) -> list[Reason]:
    """All that makes a statement slow, the best supported first."""
    found = [reason for rule in RULES if (reason := rule(slow, tables, limits)) is not None]
    return sorted(found, key=lambda reason: reason.cause.confidence.rank, reverse=True)


def tables_of(plans: Plans) -> Tables:
    """The tables that plans read, by schema and name."""
    return {(table.schema, table.name): table for table in plans.tables}


def _measured(slow: SlowStatement) -> Iterator[Evidence]:
    load = slow.load
    who = f" (run by {', '.join(slow.applications)})" if slow.applications else ""
    statement = Evidence(
        key="query_id",
        value=load.query_id,
        text=f"the statement{who}: {slow.planned.text or '(no text)'}",
        source="pg_stat_statements.query" if load.calls else "pg_stat_activity.query",
    )
    if not load.calls:
        seconds = round(slow.planned.seconds, 1)
        text = f"{len(slow.planned.pids)} sessions run it, the longest for {seconds:.0f} s"
        source = "pg_stat_activity.state_change"
        yield Evidence(key="statement_seconds", value=seconds, text=text, source=source)
        yield statement
        return
    yield Evidence(
        key="statement_share",
        value=round(slow.share, 3),
        text=f"it takes {slow.share:.0%} of the window's execution time",
        source=COUNTERS,
    )
    yield Evidence(
        key="mean_ms",
        value=round(load.mean_ms, 1),
        text=f"{load.mean_ms:.1f} ms a call; it kept {load.busy:.1f} sessions busy on average",
        source=COUNTERS,
    )
    ended = f"{load.calls} calls ended"
    yield Evidence(key="calls", value=load.calls, text=ended, source=COUNTERS)
    yield statement


def remarks(tree: PlanNode) -> Iterator[str]:
    """What is worth knowing of a plan and wrong by itself in none."""
    workers = max((node.workers for node in tree.walk()), default=0)
    if workers:
        yield f"its plan is parallel: a call takes up to {workers + 1} processes"
    for node in tree.walk():
        parts = {one.table for one in node.children if one.table}
        if node.kind in ("Append", "Merge Append") and len(parts) >= _MANY_PARTITIONS:
            pruned = f", {node.pruned} were left out" if node.pruned else ""
            yield (
                f"its plan reads {len(parts)} partitions or tables{pruned}; a condition on the "
                "partition key would leave out the others"
            )
    for node, late in late_filters(tree):
        if not is_filter_late(node, tree):
            yield f"{late:.0f} rows are joined before {node.late_filter} filters them out"


def _notes(slow: SlowStatement) -> Iterator[str]:
    if slow.planned.not_run:
        yield slow.planned.not_run
    if len({plan.outline for plan in slow.planned.plans if plan.values != "analyzed"}) > 1:
        yield "its plan differs with the values that are asked for"
    trees = slow.trees("analyzed", "common") or slow.trees()
    yield from dict.fromkeys(text for tree in trees[-1:] for text in remarks(tree))


def found_slow(slow: SlowStatement, why: list[Reason], *, critical: bool) -> Finding:
    """The finding of a statement's first reason; the others are noted."""
    first, *others = why
    also = (f"also: {other.summary[0].lower()}{other.summary[1:]}" for other in others)
    return Finding(
        status=Status.CRITICAL if critical else Status.WARNING,
        summary=f"{first.summary} and takes {slow.part}.",
        evidence=(*_measured(slow), *first.evidence),
        cause=first.cause,
        remedies=first.remedies,
        explains=_EXPLAINS,
        subjects=tuple(dict.fromkeys((*slow.subjects, *first.subjects))),
        notes=(*_notes(slow), *also, *first.notes),
    )


def _grant(plans: Plans) -> Remedy:
    return Remedy(
        step=Step.CURE,
        command=plans.remedy,
        effect="lets plans be had; PostgreSQL ties them to the right to read the tables. "
        "GRANT SELECT on the statement's own tables is enough as well",
        changes_state=True,
    )


def unclear(
    slow: SlowStatement, plans: Plans, sessions: Sessions, limits: Limits, unexplained_ms: float
) -> Finding | str:
    """What is said of a slow statement for which no reason was found: a finding where it is slow
    enough or something can be done to see more, else a note."""
    name = f"statement {slow.load.query_id} ({slow.text})"
    judged = judge_scans(slow, tables_of(plans), limits)
    scan = judged if isinstance(judged, Unclear) else Unclear("")
    remedy = _grant(plans) if slow.planned.blind else scan.remedy
    locked = shut_out(sessions, slow.planned.locked)
    reason = (slow.planned.refusal or scan.reason) + (_told(*locked) if locked else "")
    if not reason:
        return "; ".join(filter(None, (f"{name}: its plan is sound", slow.planned.not_run)))
    if remedy is None and slow.load.mean_ms < unexplained_ms:
        return f"{name} was not judged: {reason}"
    if slow.planned.locked and not locked:
        remedy = who_locks(slow.planned.locked)
    pids = (Subject(kind="pid", value=str(locked[0].pid)),) if locked else ()
    return Finding(
        status=Status.UNKNOWN,
        summary=f"One statement takes {slow.part}; why is not known: {reason}.",
        evidence=tuple(_measured(slow)),
        remedies=(remedy,) if remedy else (),
        subjects=tuple(dict.fromkeys((*slow.subjects, *pids))),
    )


def _told(session: Session, table: str) -> str:
    does = "has locked" if table in session.excludes else "waits to lock"
    return f": pid {session.pid} of {session.holder} {does} {table} for itself alone"
