"""Plans of a few statements: what may be planned, with which values, and what may be run."""

import re
import time
from collections.abc import Iterable, Iterator

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.plans.case import Case
from backend_doctor.backends.postgres.plans.catalogue import (
    Meaning,
    hidden_code,
    look_up,
    may_change,
    tables_of,
)
from backend_doctor.backends.postgres.plans.explained import parameter_columns, read_plan
from backend_doctor.backends.postgres.plans.hypothetical import proposed, prove, unproven
from backend_doctor.backends.postgres.plans.shape import tables_read
from backend_doctor.backends.postgres.plans.tables import Samples, Table, read_tables
from backend_doctor.facts import AbsenceKind, Absent

MOST_PLANNED, MOST_PROVEN = 3, 2
# what a whole run may cost the server
MOST_STATEMENTS, MOST_FOR_A_PLAN = 25, 5
SECONDS_FOR_PLANS = 5.0
# EXPLAIN ANALYZE runs the statement: what it may cost, by the planner and by experience
MOST_COST = 1_000_000.0
MOST_MEAN_MS = 2000.0 / 3
# what LIMIT stands for where nobody counted the rows: a page of a list
_ROWS_OF_A_PAGE = 20


class Planner:
    """Plans statements over one connection, each plan in a transaction of its own.

    ``tables`` are then those that the plans read. Nothing is run, unless ``analyze``. Plans for
    values are asked for while the run's statements last.
    """

    def __init__(self, db: PostgresConnection, *, analyze: bool) -> None:
        self._db = db
        self._analyze = analyze
        self._until = time.monotonic() + SECONDS_FOR_PLANS
        self._proofs = MOST_PROVEN
        self._meanings: list[Meaning] = []
        self.tables: tuple[Table, ...] = ()

    async def plan(self, cases: Iterable[Case]) -> None:
        """Gives the cases their plans, or the reason why they have none."""
        planned = await self._allowed(cases)
        for case in planned:
            await self._explain(case, [None] * case.parameters, "generic")
        planned = [case for case in planned if case.plans]
        places = {place for case in planned for place in _places(case)}
        samples: Samples = {}
        hypopg = ""
        if places:
            self.tables, samples, hypopg = await read_tables(self._db, places)
        lists = [list(_values(case, samples)) for case in planned]
        await self._customize(planned, lists)
        for case, values in zip(planned, lists, strict=True):
            await self._proven(case, hypopg)
            if self._analyze:
                await self._run(case, values[0] if values else [])

    async def _allowed(self, cases: Iterable[Case]) -> list[Case]:
        wanted = [case for case in cases if case.words and not case.refusal]
        if not wanted:
            return []
        try:
            words = [case.words for case in wanted if case.words]
            self._meanings = await look_up(self._db, words)
        except Absent as absent:
            for case in wanted:
                case.refuse(absent)
            return []
        for case in wanted:
            if case.words:
                case.tables = tables_of(case.words, self._meanings)
                case.refusal = hidden_code(case.words, self._meanings)
        planned = [case for case in wanted if not case.refusal]
        for case in planned[MOST_PLANNED:]:
            case.refusal = f"only the first {MOST_PLANNED} statements are planned"
        return planned[:MOST_PLANNED]

    async def _document(
        self, case: Case, values: list[str | None], *, analyze: bool = False
    ) -> str:
        if time.monotonic() > self._until:
            raise Absent("the time for plans was used up", kind=AbsenceKind.FAILED)
        return await self._db.explain(
            case.sql,
            values,
            search_path=case.search_path,
            analyze=analyze,
            # a change has no parallel plan, and its SELECT shall have none either
            parallel=not case.as_select,
        )

    async def _explain(
        self, case: Case, values: list[str | None], name: str, *, analyze: bool = False
    ) -> str:
        """Adds a plan; returns, and for the first plan keeps, the reason when there is none."""
        try:
            document = await self._document(case, values, analyze=analyze)
            plan = read_plan(document, name)
        except (Absent, ValueError) as error:
            if not case.plans:
                case.refuse(error)
            return str(error)
        case.document = case.document or document
        case.values[name] = values
        case.plans.append(plan)
        return ""

    async def _customize(self, cases: list[Case], lists: list[list[list[str | None]]]) -> None:
        """Plans for common values of all cases, then for rare ones, and before all trials: none
        may see an index that is not there."""
        # two for each trial, one for each run
        kept = 2 * min(len(cases), MOST_PROVEN) + len(cases) * self._analyze
        most = MOST_STATEMENTS + MOST_FOR_A_PLAN * len(cases) - kept
        for choice, name in enumerate(("common", "rare")):
            for case, values in zip(cases, lists, strict=True):
                if case.parameters and len(values) > choice and self._db.statements < most:
                    await self._explain(case, values[choice], name)

    async def _proven(self, case: Case, hypopg: str) -> None:
        found = proposed(case.plans, self.tables, case.blocks)
        if found is None:
            return
        proposal, before = found
        if self._db.pooled:
            reason = "behind a pooler a trial index would stay in the pool's session"
            case.proof = unproven(proposal, reason)
        elif not hypopg:
            reason = "HypoPG is not installed in this database"
            case.proof = unproven(proposal, reason, "CREATE EXTENSION hypopg;")
        elif self._proofs <= 0:
            reason = f"only {MOST_PROVEN} indexes are tried"
            case.proof = unproven(proposal, reason)
        else:
            self._proofs -= 1

            async def again() -> tuple[float, str]:
                document = await self._document(case, case.values[before.values])
                return _cost(document), document

            case.proof = await prove(self._db, hypopg, proposal, before, again)

    async def _run(self, case: Case, values: list[str | None]) -> None:
        case.not_run = _not_run(case, values, self._meanings)
        if not case.not_run:
            case.not_run = await self._explain(case, values, "analyzed", analyze=True)


def _cost(document: str) -> float:
    try:
        return read_plan(document, "").cost
    except ValueError as error:
        raise Absent(str(error), kind=AbsenceKind.FAILED) from error


def _places(case: Case) -> set[tuple[str, str]]:
    trees = [plan.tree for plan in case.plans if plan.tree is not None]
    scanned = {place for tree in trees for place in tables_read(tree)}
    compared = parameter_columns(case.document).values()
    return scanned | {(schema, table) for schema, table, _, _ in compared}


def _values(case: Case, samples: Samples) -> Iterator[list[str | None]]:
    """Values for all placeholders, common ones and then rare ones; nothing if one has none."""
    columns = parameter_columns(case.document)
    bounds = case.words.bounds if case.words else {}
    rows = _ROWS_OF_A_PAGE if case.rows is None else max(1, round(case.rows))
    for choice in (0, 1):
        values: list[str | None] = []
        for number in range(1, case.parameters + 1):
            if number in bounds:
                values.append("0" if bounds[number] == "offset" else str(rows))
            elif number in columns:
                schema, table, column, is_array = columns[number]
                value = samples.get((schema, table, column), (None, None))[choice]
                escaped = None if value is None else re.sub(r'(["\\])', r"\\\1", value)
                values.append(f'{{"{escaped}"}}' if is_array and value is not None else value)
        if len(values) == case.parameters and None not in values:
            yield values


def _not_run(case: Case, values: list[str | None], meanings: Iterable[Meaning]) -> str:
    """Why a statement is not run with EXPLAIN ANALYZE, or ""."""
    cost = max(plan.cost for plan in case.plans)
    if case.as_select:
        return "not run: it changes data"
    if case.words is None or any(one.changes for one in case.plans):
        return "not run: its plan changes or locks rows"
    if reason := may_change(case.words, meanings):
        return f"not run: {reason}"
    if len(values) != case.parameters:
        return "not run: no values are known for its placeholders"
    if cost > MOST_COST:
        return f"not run: the planner expects a cost of {cost:.0f}, above {MOST_COST:.0f}"
    if case.mean_ms is not None and case.mean_ms > MOST_MEAN_MS:
        return (
            f"not run: a call takes {case.mean_ms:.0f} ms; three times that would pass our "
            "statement_timeout of 2 s"
        )
    return ""
