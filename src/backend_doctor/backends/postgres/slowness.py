"""Why a statement is slow, told from its counters, its plans and the tables these read."""

from dataclasses import dataclass

from backend_doctor.backends.postgres.explained import Scan
from backend_doctor.backends.postgres.indexes import Proposal, indexable, propose, serving
from backend_doctor.backends.postgres.plans import PlannedStatement, Plans
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.statements import Load, Statements, window_loads
from backend_doctor.backends.postgres.tables import Table
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.facts import Looks
from backend_doctor.model import Remedy, Step, Subject


@dataclass(frozen=True)
class SlowStatement:
    """One statement that is slow, with all that is known of it."""

    load: Load
    share: float
    planned: PlannedStatement
    sessions: tuple[Session, ...]

    @property
    def waits_for_locks(self) -> bool:
        """Whether a look caught it waiting for a lock: then its time is another's doing."""
        return any(session.wait_type == "Lock" for session in self.sessions)

    @property
    def text(self) -> str:
        """Its part of the window, in words."""
        return (
            f"{self.share:.0%} of the window's execution time, {self.load.mean_ms:.0f} ms a call, "
            f"{self.load.calls} calls"
        )

    @property
    def applications(self) -> list[str]:
        """Who was seen running it."""
        return sorted({session.holder for session in self.sessions})

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What it shares with other findings."""
        return (
            Subject(kind="query", value=self.load.query_id),
            *(Subject(kind="application", value=name) for name in self.applications),
        )


@dataclass(frozen=True)
class Verdict:
    """Why a statement is slow: an index to build, or what stands in the way of telling."""

    scan: Scan | None = None
    table: Table | None = None
    proposal: Proposal | None = None
    returned: float = 0.0
    measured: bool = False
    reason: str = ""
    remedy: Remedy | None = None


def statements_of(
    statements: Looks[Statements], plans: Plans | None, sessions: Looks[Sessions]
) -> list[SlowStatement]:
    """The window's statements by time, most first; commands that have no plan are left out."""
    loads = window_loads(statements)
    planned = {(one.database, one.query_id): one for one in plans.statements} if plans else {}
    kinds = {key: one.kind for key, one in planned.items()}
    counted = [one for one in loads if kinds.get((one.database, one.query_id)) != "utility"]
    total = sum(load.ms for load in counted)
    active = [s for look in (sessions.first, sessions.last) for s in look.clients]
    return [
        SlowStatement(
            load,
            load.ms / total,
            planned.get((load.database, load.query_id))
            or PlannedStatement(
                query_id=load.query_id,
                database=load.database,
                role=load.role,
                refusal="its plan was not asked for",
            ),
            tuple(s for s in active if s.query_id == load.query_id and s.state == "active"),
        )
        for load in counted
    ]


def _returned(slow: SlowStatement, scan: Scan, table: Table) -> tuple[float | None, bool]:
    """Rows that the scan returns in a call, and whether that was measured; None: cannot tell.

    Estimates count where an equality with known statistics makes them, and then the largest of
    all plans with usual values, since a common value may be asked for.
    """
    if scan.direct:
        return slow.load.rows_per_call, True
    if scan.removed is not None:
        return scan.rows * scan.loops, True
    equal, _ = indexable(scan, table)
    if not any(table.distinct(column) for column in equal):
        return None, False
    alike = (
        other.rows
        for plan in slow.planned.plans
        if plan.values in ("generic", "common")
        for other in plan.scans
        if (other.schema, other.table, other.equal) == (scan.schema, scan.table, scan.equal)
    )
    return max(alike, default=scan.rows), False


def _unanalyzed(table: Table) -> Verdict:
    place = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
    remedy = Remedy(
        step=Step.CURE,
        command=f"ANALYZE {place};",
        effect="samples the table, so that the planner and this check know what it holds",
        changes_state=True,
    )
    return Verdict(reason=f"{table.name} has no statistics for its filter", remedy=remedy)


def judge_plans(
    slow: SlowStatement, plans: Plans, table_rows: int, removed_ratio: float
) -> Verdict:
    """Whether a plan of the statement throws ``removed_ratio`` times as many rows away as it
    keeps, on a table of ``table_rows`` or more, for want of an index."""
    tables = {(table.schema, table.name): table for table in plans.tables}
    scans = [scan for plan in slow.planned.plans if plan.values != "rare" for scan in plan.scans]
    verdict = Verdict()
    for scan in sorted(scans, key=lambda scan: (scan.removed is None, -scan.cost_share)):
        table = tables.get((scan.schema, scan.table))
        if table is None or table.rows < table_rows or scan.cost_share < 0.3:
            continue
        returned, measured = _returned(slow, scan, table)
        proposal = propose(scan, table)
        if returned is None:
            analyzed = any(one.column in scan.equal for one in table.spread)
            rows = "its plan alone does not tell how many rows pass its filter"
            verdict = Verdict(reason=rows) if analyzed or not scan.equal else _unanalyzed(table)
        elif table.rows * scan.loops - returned < removed_ratio * max(1.0, returned):
            verdict = Verdict()
        elif proposal is not None:
            return Verdict(scan, table, proposal, returned, measured)
        elif (index := serving(scan, table)) is not None:
            verdict = Verdict(reason=f"the planner leaves the index {index.name} aside")
        else:
            verdict = Verdict(reason="its filter compares no plain column with a value")
    return verdict
