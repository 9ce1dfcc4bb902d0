"""A statement that is slow, and what a reason for it consists of."""

from collections.abc import Callable, Mapping

import msgspec

from backend_doctor.backends.postgres.plans.plans import PlannedStatement, Plans
from backend_doctor.backends.postgres.plans.tables import Table
from backend_doctor.backends.postgres.plans.tree import PlanNode
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.statements import Load, Statements, window_loads
from backend_doctor.facts import Looks
from backend_doctor.model import Cause, Evidence, Remedy, Subject

PLAN_FOR = {
    "generic": "its plan for any values",
    "common": "its plan for common values",
    "rare": "its plan for rare values",
    "analyzed": "its run",
}
COUNTERS = "pg_stat_statements, two looks"
BLOCK_BYTES = 8192


class SlowStatement(msgspec.Struct, frozen=True):
    """One statement that is slow, with all that is known of it. ``looks`` are the sessions that
    the first and the last look caught running it; ``source`` names where ``load`` was counted."""

    load: Load
    share: float
    planned: PlannedStatement
    looks: tuple[tuple[Session, ...], tuple[Session, ...]] = ((), ())
    source: str = COUNTERS

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Whom any look caught running it."""
        return self.looks[0] + self.looks[1]

    @property
    def waits_for_locks(self) -> bool:
        """Whether a look caught it waiting for a lock: then its time is another's doing."""
        return any(session.wait_type == "Lock" for session in self.sessions)

    @property
    def text(self) -> str:
        """Its part of the window, in words; or for how long it runs, if it has not ended."""
        if not self.load.calls:
            return f"more than {self.planned.seconds:.0f} s, and runs on"
        return (
            f"{self.share:.0%} of the window's execution time, {self.load.mean_ms:.0f} ms a call, "
            f"{self.load.calls} calls"
        )

    @property
    def part(self) -> str:
        """Its part of the window without numbers, where evidence has them."""
        if not self.load.calls:
            return self.text
        return f"{'most' if self.share > 0.5 else 'much'} of the window's execution time"

    @property
    def rows_source(self) -> str:
        """Where the rows that a call returns were counted."""
        return "pg_stat_statements.rows" if self.source == COUNTERS else self.source

    @property
    def blocks(self) -> float:
        """Blocks of tables and indexes that a call touched, 0 where nobody counted."""
        return self.load.blocks_per_call

    @property
    def temp_blocks(self) -> float:
        """Blocks of temporary files that a call wrote."""
        return self.load.temp_blocks / self.load.calls if self.load.calls else 0.0

    @property
    def applications(self) -> list[str]:
        """Who was seen running it."""
        return sorted({session.holder for session in self.sessions})

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What it shares with other findings."""
        return (
            *(Subject(kind="pid", value=str(pid)) for pid in self.planned.pids),
            Subject(kind="query", value=self.load.query_id),
            *(Subject(kind="application", value=name) for name in self.applications),
        )

    def trees(self, *values: str) -> list[PlanNode]:
        """Its plans' trees, those for the values that are named, or all."""
        plans = (plan for plan in self.planned.plans if not values or plan.values in values)
        return [plan.tree for plan in plans if plan.tree is not None]


Tables = Mapping[tuple[str, str], Table]


class Limits(msgspec.Struct, frozen=True):
    """From where on something counts; the check's own limits."""

    table_rows: float = 10_000.0
    removed_ratio: float = 100.0
    misestimate: float = 10.0
    result_rows: float = 10_000.0
    spilled_blocks: float = 64.0
    pairs: float = 1_000_000.0


class Reason(msgspec.Struct, frozen=True):
    """Why a statement is slow, with what proves it. ``summary`` is a sentence without its end,
    which is the statement's part of the window."""

    cause: Cause
    summary: str
    evidence: tuple[Evidence, ...]
    remedies: tuple[Remedy, ...]
    subjects: tuple[Subject, ...] = ()
    notes: tuple[str, ...] = ()


Rule = Callable[[SlowStatement, Tables, Limits], Reason | None]


def statements_of(
    statements: Looks[Statements], plans: Plans | None, sessions: Looks[Sessions]
) -> list[SlowStatement]:
    """The window's statements by time, most first; commands that have no plan are left out."""
    loads = window_loads(statements)
    planned = {(one.database, one.query_id): one for one in plans.statements} if plans else {}
    kinds = {key: one.kind for key, one in planned.items()}
    counted = [one for one in loads if kinds.get((one.database, one.query_id)) != "utility"]
    total = sum(load.ms for load in counted)

    def running(look: Sessions, query_id: str) -> tuple[Session, ...]:
        return tuple(s for s in look.clients if s.query_id == query_id and s.state == "active")

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
            (running(sessions.first, load.query_id), running(sessions.last, load.query_id)),
        )
        for load in counted
    ]


def unended(plans: Plans | None, sessions: Looks[Sessions], seconds: float) -> list[SlowStatement]:
    """Planned statements that ran in both looks without a pause, the longest for ``seconds``."""
    return [
        SlowStatement(
            Load(
                one.query_id,
                one.database,
                one.role,
                calls=0,
                ms=0.0,
                rows=0,
                busy=float(len(one.pids)),
            ),
            1.0,
            one,
            (
                tuple(s for s in sessions.first.clients if s.pid in one.pids),
                tuple(s for s in sessions.last.clients if s.pid in one.pids),
            ),
        )
        for one in (plans.statements if plans else ())
        if one.pids and one.seconds >= seconds
    ]
