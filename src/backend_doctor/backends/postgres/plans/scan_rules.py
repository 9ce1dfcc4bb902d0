"""Reads of whole tables that keep few rows: for want of an index, or of a filter it can serve."""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from backend_doctor.backends.postgres.plans.explained import Scan
from backend_doctor.backends.postgres.plans.indexes import (
    Proposal,
    build_index,
    indexable,
    propose,
    serving,
)
from backend_doctor.backends.postgres.plans.sargable import (
    Unindexed,
    Unusable,
    unindexed,
    unusable,
)
from backend_doctor.backends.postgres.plans.slowness import (
    COUNTERS,
    PLAN_FOR,
    Limits,
    Reason,
    SlowStatement,
    Tables,
)
from backend_doctor.backends.postgres.plans.tables import Table
from backend_doctor.backends.postgres.plans.usual import reads_whole, usual_scans
from backend_doctor.backends.postgres.remedies import old_transactions
from backend_doctor.backends.postgres.write_rates import written
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.model import Cause, Confidence, Evidence, Remedy, Step

# a scan with a smaller part of the plan's cost is not what takes the time
LEAST_COST_SHARE = 0.3
# half of the plan's cost: what dexter, which proposes indexes, asks for as well
_GREAT_SAVING = 0.5


class Wasteful(msgspec.Struct, frozen=True):
    """A scan that throws most rows away: ``removed`` a call, to keep ``returned``. ``measured`` or
    estimated, and ``how`` in words. ``table`` has the rows that a run read, where these are more
    than were ``known``."""

    scan: Scan
    table: Table
    returned: float
    removed: float
    measured: bool
    how: str
    known: bool = True
    proposal: Proposal | None = None
    unusable: Unusable | None = None
    unindexed: Unindexed | None = None

    @property
    def place(self) -> str:
        """The table's name with its schema."""
        return f"{self.table.schema}.{self.table.name}"

    @property
    def read(self) -> float:
        """Rows that a call reads of it."""
        return self.removed + self.returned


class Unclear(msgspec.Struct, frozen=True):
    """Why a whole scan's part in the slowness cannot be told, and what would help."""

    reason: str
    remedy: Remedy | None = None


def _returned(
    slow: SlowStatement, scan: Scan, table: Table, stuck: Unusable | Unindexed | None
) -> tuple[float | None, str]:
    """Rows that the scan returns in a call, and whose estimate that is, or "" if it was measured;
    None: cannot tell.

    Estimates count where an equality with known statistics makes them, and then the largest of
    all plans with usual values, since a common value may be asked for. An expression has at most
    as many values as its column.
    """
    if scan.direct and slow.load.calls:
        return slow.load.rows_per_call, ""
    if scan.removed is not None:
        return scan.rows * scan.loops, ""
    equal, _ = indexable(scan, table)
    floor = 0.0
    if not any(table.distinct(column) for column in equal):
        values = table.distinct(stuck.wrapped.column) if stuck else None
        if stuck is None or values is None or stuck.wrapped.operator not in ("=", "~~", "~~*"):
            return None, ""
        floor = table.rows / values
    alike = (
        (other.rows, plan.values)
        for plan in slow.planned.plans
        if plan.values in ("generic", "common")
        for other in plan.scans
        if (other.schema, other.table, other.filter) == (scan.schema, scan.table, scan.filter)
        or (other.schema, other.table, other.equal) == (scan.schema, scan.table, scan.equal)
    )
    most, made_for = max(alike, default=(scan.rows, "generic"))
    return (floor, "how many values there are") if floor > most else (most, PLAN_FOR[made_for])


def grown(scan: Scan, table: Table) -> Table:
    """The table with at least the rows that a run of the scan read."""
    read = 0.0 if scan.removed is None else scan.rows + scan.removed
    return msgspec.structs.replace(table, rows=read) if read > table.rows else table


def _unanalyzed(table: Table) -> Unclear:
    place = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
    remedy = Remedy(
        step=Step.CURE,
        command=f"ANALYZE {place};",
        effect="samples the table, so that the planner and this check know what it holds",
        changes_state=True,
    )
    return Unclear(f"{table.name} has no statistics for its filter", remedy)


def _judge(
    slow: SlowStatement, scan: Scan, table: Table, limits: Limits
) -> Wasteful | Unclear | None:
    wrapped = scan.wrapped if reads_whole(slow.blocks, table) else ()
    stuck, bare = unusable(wrapped, table), unindexed(wrapped, table)
    returned, estimate = _returned(slow, scan, table, stuck or bare)
    if returned is None:
        analyzed = any(one.column in scan.equal for one in table.spread)
        rows = "its plan alone does not tell how many rows pass its filter"
        return Unclear(rows) if analyzed or not scan.equal else _unanalyzed(table)
    # a run tells what was read: under a LIMIT that is but a part of the table
    whole = table.rows * scan.loops
    removed = whole - returned if scan.removed is None else scan.removed * scan.loops
    if removed < limits.removed_ratio * max(1.0, returned):
        return None
    how = f"estimated by {estimate}" if estimate else "counted"
    found = Wasteful(scan, table, returned, removed, not estimate, how)
    proposal = propose(scan, table)
    tells = [table.distinct(column) or 0.0 for column in proposal.columns] if proposal else []
    if stuck and max(tells, default=0.0) < limits.removed_ratio:
        return replace(found, unusable=stuck)
    if proposal is not None:
        return replace(found, proposal=proposal)
    if (index := serving(scan, table)) is not None:
        return Unclear(f"the planner leaves the index {index.name} aside")
    if bare is not None:
        return replace(found, unindexed=bare)
    return Unclear("its filter compares no plain column with a value")


def judge_scans(slow: SlowStatement, tables: Tables, limits: Limits) -> Wasteful | Unclear | None:
    """The first scan that throws ``removed_ratio`` times as many rows away as it keeps, on a table
    of ``table_rows`` or more; else why that cannot be told; None when its scans are sound."""
    found: Wasteful | Unclear | None = None
    for _, scan in usual_scans(slow.planned.plans, tables, slow.blocks):
        known = tables.get((scan.schema, scan.table))
        if known is None or scan.cost_share < LEAST_COST_SHARE:
            continue
        table = grown(scan, known)
        if table.rows < limits.table_rows:
            continue
        found = _judge(slow, scan, table, limits)
        if isinstance(found, Wasteful):
            return replace(found, known=table is known)
    return found


def scan_evidence(slow: SlowStatement, found: Wasteful) -> Iterator[Evidence]:
    """What such a scan reads and throws away, and what is written to its table."""
    scan, table = found.scan, found.table
    whole = f"the whole index {scan.index} of" if scan.index else "the whole table"
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
        source="pg_class.reltuples" if found.known else "EXPLAIN (ANALYZE)",
        repeats=round(found.read) == round(table.rows),
    )
    if scan.removed is not None:
        source = "EXPLAIN (ANALYZE)"
    else:
        source = slow.rows_source if scan.direct and slow.load.calls else "EXPLAIN"
    yield Evidence(
        key="removed_rows",
        value=round(found.removed),
        text=f"a call throws about {found.removed:.0f} rows away to return {found.returned:.0f} "
        f"({found.how})",
        source=source,
    )
    if slow.blocks:
        yield Evidence(
            key="blocks_per_call",
            value=round(slow.blocks),
            text=f"a call touches {slow.blocks:.0f} blocks of 8 KiB; the table has {table.pages}",
            source=COUNTERS,
        )
    yield from written(found.place, table.writes_per_second)


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
        f"with the index {PLAN_FOR.get(proof.values, 'its plan')} costs {proof.cost_after:.0f} "
        f"instead of {proof.cost_before:.0f} ({min(proof.saving, 0.99):.0%} less)"
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
    evidence = list(scan_evidence(slow, found))
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
            because=f"each call reads about {found.read:.0f} rows and keeps "
            f"{found.returned:.0f}; an index on ({columns}) would lead to them",
        ),
        summary=f"No index serves {found.place} ({columns}): one statement reads all of it",
        evidence=(*evidence, *tried),
        remedies=(old_transactions(), *build_index(proposal)),
        notes=tuple(notes),
    )
