"""Reads of whole tables that keep few rows: for want of an index, or of a filter it can serve."""

from collections.abc import Iterator
from dataclasses import dataclass

from backend_doctor.backends.postgres.explained import Scan
from backend_doctor.backends.postgres.indexes import (
    Proposal,
    build_index,
    indexable,
    old_transactions,
    propose,
    serving,
)
from backend_doctor.backends.postgres.sargable import Unusable, make_usable, unusable
from backend_doctor.backends.postgres.slowness import (
    COUNTERS,
    Limits,
    Reason,
    SlowStatement,
    Tables,
)
from backend_doctor.backends.postgres.tables import Table
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.model import Cause, Confidence, Evidence, Remedy, Step, Subject

# a call that touched less than this part of a table did not read it whole
_WHOLE = 0.5
# half of the plan's cost: what dexter, which proposes indexes, asks for as well
_GREAT_SAVING = 0.5


@dataclass(frozen=True)
class Wasteful:
    """A scan that throws most rows away. ``returned`` a call, ``measured`` or estimated."""

    scan: Scan
    table: Table
    returned: float
    measured: bool
    proposal: Proposal | None = None
    unusable: Unusable | None = None

    @property
    def place(self) -> str:
        """The table's name with its schema."""
        return f"{self.table.schema}.{self.table.name}"

    @property
    def removed(self) -> float:
        """Rows that a call reads in vain."""
        return self.table.rows * self.scan.loops - self.returned


@dataclass(frozen=True)
class Unclear:
    """Why a whole scan's part in the slowness cannot be told, and what would help."""

    reason: str
    remedy: Remedy | None = None


def _returned(
    slow: SlowStatement, scan: Scan, table: Table, stuck: Unusable | None
) -> tuple[float | None, bool]:
    """Rows that the scan returns in a call, and whether that was measured; None: cannot tell.

    Estimates count where an equality with known statistics makes them, and then the largest of
    all plans with usual values, since a common value may be asked for. An expression has at most
    as many values as its column.
    """
    if scan.direct and slow.load.calls:
        return slow.load.rows_per_call, True
    if scan.removed is not None:
        return scan.rows * scan.loops, True
    equal, _ = indexable(scan, table)
    floor = 0.0
    if not any(table.distinct(column) for column in equal):
        values = table.distinct(stuck.wrapped.column) if stuck else None
        if stuck is None or values is None or stuck.wrapped.operator not in ("=", "~~", "~~*"):
            return None, False
        floor = table.rows / values
    alike = (
        other.rows
        for plan in slow.planned.plans
        if plan.values in ("generic", "common")
        for other in plan.scans
        if (other.schema, other.table, other.filter) == (scan.schema, scan.table, scan.filter)
        or (other.schema, other.table, other.equal) == (scan.schema, scan.table, scan.equal)
    )
    return max(floor, max(alike, default=scan.rows)), False


def _unanalyzed(table: Table) -> Unclear:
    place = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
    remedy = Remedy(
        step=Step.CURE,
        command=f"ANALYZE {place};",
        effect="samples the table, so that the planner and this check know what it holds",
        changes_state=True,
    )
    return Unclear(f"{table.name} has no statistics for its filter", remedy)


def _read_whole(slow: SlowStatement, table: Table) -> bool:
    """Whether a call touches as many blocks as the table has; the plan alone might be another."""
    return not slow.blocks or slow.blocks >= _WHOLE * table.pages


def _judge(
    slow: SlowStatement, scan: Scan, table: Table, limits: Limits
) -> Wasteful | Unclear | None:
    stuck = unusable(scan.wrapped, table) if _read_whole(slow, table) else None
    returned, measured = _returned(slow, scan, table, stuck)
    if returned is None:
        analyzed = any(one.column in scan.equal for one in table.spread)
        rows = "its plan alone does not tell how many rows pass its filter"
        return Unclear(rows) if analyzed or not scan.equal else _unanalyzed(table)
    if table.rows * scan.loops - returned < limits.removed_ratio * max(1.0, returned):
        return None
    proposal = propose(scan, table)
    tells = [table.distinct(column) or 0.0 for column in proposal.columns] if proposal else []
    if stuck and max(tells, default=0.0) < limits.removed_ratio:
        return Wasteful(scan, table, returned, measured, unusable=stuck)
    if proposal is not None:
        return Wasteful(scan, table, returned, measured, proposal=proposal)
    if (index := serving(scan, table)) is not None:
        return Unclear(f"the planner leaves the index {index.name} aside")
    return Unclear("its filter compares no plain column with a value")


def judge_scans(slow: SlowStatement, tables: Tables, limits: Limits) -> Wasteful | Unclear | None:
    """The first scan that throws ``removed_ratio`` times as many rows away as it keeps, on a table
    of ``table_rows`` or more; else why that cannot be told; None when its scans are sound."""
    found: Wasteful | Unclear | None = None
    scans = [scan for plan in slow.planned.plans if plan.values != "rare" for scan in plan.scans]
    for scan in sorted(scans, key=lambda scan: (scan.removed is None, -scan.cost_share)):
        table = tables.get((scan.schema, scan.table))
        if table is None or table.rows < limits.table_rows or scan.cost_share < 0.3:
            continue
        found = _judge(slow, scan, table, limits)
        if isinstance(found, Wasteful):
            return found
    return found


def _evidence(slow: SlowStatement, found: Wasteful) -> Iterator[Evidence]:
    scan, table = found.scan, found.table
    whole = "the whole index " + scan.index if scan.index else "the whole table"
    yield Evidence(
        key="table",
        value=found.place,
        text=f"its plan reads {whole} {found.place} ({scan.node}) and filters by {scan.filter}",
        source="EXPLAIN",
    )
    yield Evidence(
        key="rows",
        value=round(table.rows),
        text=f"the table holds about {table.rows:.0f} rows",
        source="pg_class.reltuples",
    )
    if scan.direct:
        source = "pg_stat_statements.rows"
    else:
        source = "EXPLAIN" if scan.removed is None else "EXPLAIN (ANALYZE)"
    how = "counted" if found.measured else "estimated by the planner"
    yield Evidence(
        key="removed_rows",
        value=round(found.removed),
        text=f"a call throws about {found.removed:.0f} rows away to return {found.returned:.0f} "
        f"({how})",
        source=source,
    )
    if slow.blocks:
        yield Evidence(
            key="blocks_per_call",
            value=round(slow.blocks),
            text=f"a call touches {slow.blocks:.0f} blocks of 8 KiB; the table has {table.pages}",
            source=COUNTERS,
        )


def _tried(slow: SlowStatement, proposal: Proposal) -> tuple[list[Evidence], list[str]]:
    """What the planner makes of the index, where it was tried, else why it was not."""
    proof = slow.planned.proof
    place = f"{proposal.table.schema}.{proposal.table.name}"
    if proof is None or (proof.table, proof.columns) != (place, proposal.columns):
        return [], []
    if proof.reason:
        return [], [f"the index is not proven: {proof.reason}"]
    if not proof.proven:
        return [], ["the index is not proven: the planner, asked with HypoPG, leaves it aside"]
    text = (
        f"with the index the plan costs {proof.cost_after:.0f} instead of "
        f"{proof.cost_before:.0f} ({proof.saving:.0%} less)"
    )
    costs = (round(proof.cost_before), round(proof.cost_after))
    return [Evidence(key="proven_costs", value=costs, text=text, source="HypoPG")], []


def missing_index(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """A filter compares plain columns, and no index begins with them."""
    found = judge_scans(slow, tables, limits)
    if not isinstance(found, Wasteful) or found.proposal is None:
        return None
    proposal, table = found.proposal, found.table
    columns = ", ".join(proposal.columns)
    evidence = list(_evidence(slow, found))
    if near := proposal.broken or proposal.near:
        state = "is invalid: it was never finished" if not near.valid else "does not serve it"
        held = ", ".join(column or "an expression" for column in near.columns)
        text = f"the index {near.name} ({held}) {state}"
        evidence.append(
            Evidence(key="existing_index", value=near.name, text=text, source="pg_index")
        )
    tried, notes = _tried(slow, proposal)
    proof = slow.planned.proof
    halved = bool(tried) and proof is not None and proof.saving >= _GREAT_SAVING
    if table.partition:
        notes.append(f"{table.name} is a partition: its siblings need the index too")
    return Reason(
        cause=Cause(
            label="query.missing_index",
            confidence=Confidence.CERTAIN if found.measured or halved else Confidence.LIKELY,
            because=f"each call reads about {table.rows:.0f} rows and keeps "
            f"{found.returned:.0f}; an index on ({columns}) would lead to them",
        ),
        summary=f"No index serves {found.place} ({columns}): one statement reads all of it",
        evidence=(*evidence, *tried),
        remedies=(old_transactions(), *build_index(proposal)),
        notes=tuple(notes),
    )


def non_sargable(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """A filter wraps a column that has an index, so that the index cannot be used."""
    found = judge_scans(slow, tables, limits)
    if not isinstance(found, Wasteful) or found.unusable is None:
        return None
    stuck, table = found.unusable, found.table
    one = stuck.wrapped
    here = (
        Evidence(
            key="existing_index",
            value=stuck.index.name,
            text=stuck.why,
            source="pg_index",
        ),
        Evidence(
            key="predicate",
            value=one.expression,
            text=f"the filter compares {one.expression} {one.operator} ..., not {one.column}",
            source="EXPLAIN",
        ),
    )
    build = make_usable(stuck, table)
    waits = (old_transactions(),) if any(remedy.changes_state for remedy in build) else ()
    return Reason(
        cause=Cause(
            label="query.non_sargable",
            confidence=Confidence.CERTAIN if found.measured else Confidence.LIKELY,
            because=f"{stuck.why}; so each call reads about {table.rows:.0f} rows and keeps "
            f"{found.returned:.0f}",
        ),
        summary=f"The index {stuck.index.name} cannot serve {one.expression}: one statement reads "
        f"all of {found.place}",
        evidence=(*_evidence(slow, found), *here),
        remedies=(*waits, *build),
        subjects=(Subject(kind="table", value=found.place),),
    )
