"""Plans of the statements that took most of the window, where it is safe to have them."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import msgspec

from backend_doctor.backends.postgres.catalogue import Meaning, hidden_code, look_up, may_change
from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.explained import Plan, parameter_columns, read_plan
from backend_doctor.backends.postgres.statements import (
    Load,
    Statements,
    StatementStatistics,
    window_loads,
)
from backend_doctor.backends.postgres.tables import Samples, Table, read_tables
from backend_doctor.backends.postgres.words import UnreadableError, Words, plannable, read, refusal
from backend_doctor.backends.sql import mask_literals, quote_identifier
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Looks
from backend_doctor.text import shorten

_TEXTS = """
SELECT DISTINCT ON (s.dbid, s.queryid) s.queryid::text AS query_id,
       textsend(d.datname::text) AS database, textsend(pg_get_userbyid(s.userid)::text) AS role,
       substring(textsend(s.query) FOR 20001) AS text,
       textsend(coalesce(
         (SELECT substr(item, 13) FROM pg_db_role_setting g, unnest(g.setconfig) AS item
           WHERE item LIKE 'search_path=%' AND g.setdatabase IN (0, s.dbid)
             AND g.setrole IN (0, s.userid)
           ORDER BY g.setrole <> 0 DESC, g.setdatabase <> 0 DESC LIMIT 1),
         (SELECT reset_val FROM pg_settings WHERE name = 'search_path'))) AS search_path
  FROM {schema}.pg_stat_statements(true) s JOIN pg_database d ON d.oid = s.dbid
 WHERE s.toplevel AND s.queryid::text = ANY (string_to_array($1, ' '))
 ORDER BY s.dbid, s.queryid, s.total_exec_time DESC
"""
_TEXTS_SIZE = """
SELECT size FROM pg_stat_file('pg_stat_tmp/pgss_query_texts.stat', true)
"""
# reading any text reads the server's whole file of texts: 91 MB took 1.2 s
MOST_TEXT_BYTES = 64 * 1024 * 1024
MOST_ENTRIES = 20_000
# statements below this many busy sessions cannot be what is slow
LEAST_BUSY = 0.02
MOST_TEXTS, MOST_PLANNED, MOST_CUSTOM = 6, 3, 4
SECONDS_FOR_PLANS = 5.0
# EXPLAIN ANALYZE runs the statement: what it may cost, by the planner and by experience
MOST_COST = 1_000_000.0
MOST_MEAN_MS = 2000.0 / 3


class PlannedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of the window. ``text`` has its literals masked; ``refusal`` says why it has
    no plan, ``blind`` that a right is missing; ``not_run`` why it was not run though asked."""

    query_id: str
    database: str
    role: str
    kind: str = "unknown"
    text: str = ""
    refusal: str = ""
    blind: bool = False
    not_run: str = ""
    plans: tuple[Plan, ...] = ()


@dataclass
class _Case:
    """One statement on its way to a plan."""

    load: Load
    text: str = ""
    search_path: tuple[str, ...] = ()
    words: Words | None = None
    refusal: str = ""
    blind: bool = False
    not_run: str = ""
    document: str = ""
    plans: list[Plan] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return self.words.parameters if self.words else 0

    def fact(self) -> PlannedStatement:
        return PlannedStatement(
            query_id=self.load.query_id,
            database=self.load.database,
            role=self.load.role,
            kind=self.words.kind if self.words else "unknown",
            text=shorten(" ".join(mask_literals(self.text).split()), 400),
            refusal=self.refusal,
            blind=self.blind,
            not_run=self.not_run,
            plans=tuple(self.plans),
        )


def schemas_in(search_path: str, role: str) -> tuple[str, ...]:
    """The names in a search_path, ``$user`` being the role."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', search_path)
    names = (quoted.replace('""', '"') or bare.lower() for quoted, bare in found)
    return tuple(role if name == "$user" else name for name in names)


class Plans(Fact, frozen=True):
    """The statements that kept sessions busy in the window, most first, with plans where they
    could be had, and the tables that these scan. ``remedy`` is the missing grant, or ""."""

    seconds_limit: ClassVar[float] = 12.0

    statements: tuple[PlannedStatement, ...]
    tables: tuple[Table, ...] = ()
    remedy: str = ""

    @classmethod
    async def collect(
        cls,
        db: PostgresConnection,
        statistics: StatementStatistics,
        statements: Looks[Statements],
        instance: Instance,
    ) -> Self:
        """At most 14 statements, each plan in a transaction of its own. Nothing is run, unless
        the backend's setting ``analyze`` is true."""
        busy = [load for load in window_loads(statements) if load.busy >= LEAST_BUSY]
        cases = [_Case(load) for load in busy[:MOST_TEXTS]]
        if not cases:
            return cls(statements=())
        planner = _Planner(db, statistics, analyze=instance.settings.get("analyze") is True)
        await planner.fetch_texts(cases, statements.last.entries)
        await planner.plan(cases)
        grant = f"GRANT pg_read_all_data TO {quote_identifier(statistics.role)};"
        return cls(
            statements=tuple(case.fact() for case in cases),
            tables=planner.tables,
            remedy=grant if any(case.blind for case in cases) else "",
        )


class _Planner:
    def __init__(
        self, db: PostgresConnection, statistics: StatementStatistics, *, analyze: bool
    ) -> None:
        self._db = db
        self._statistics = statistics
        self._analyze = analyze
        self._until = time.monotonic() + SECONDS_FOR_PLANS
        self._customs = MOST_CUSTOM
        self.tables: tuple[Table, ...] = ()

    async def fetch_texts(self, cases: list[_Case], entries: int) -> None:
        """Gives the cases their texts, or the reason why they have none."""
        if too_big := await self._texts_too_big(entries):
            for case in cases:
                case.refusal = too_big
            return
        schema = quote_identifier(self._statistics.schema)
        ids = " ".join(case.load.query_id for case in cases)
        rows = await self._db.fetch(_TEXTS.format(schema=schema), ids)
        found = {(row["database"], row["query_id"]): row for row in rows}
        for case in cases:
            _describe(case, found.get((case.load.database, case.load.query_id)))
            if not case.refusal and case.load.database != self._statistics.database:
                case.refusal = (
                    f"it runs in database {case.load.database}, and a plan can be had only in the "
                    f"connected one, {self._statistics.database}"
                )

    async def _texts_too_big(self, entries: int) -> str:
        if entries > MOST_ENTRIES:
            return f"the server keeps {entries} texts, too many to read them"
        if self._statistics.may_ask_sizes:
            rows = await self._db.fetch(_TEXTS_SIZE)
            size = rows[0]["size"] if rows else None
            if size is not None and size > MOST_TEXT_BYTES:
                return f"the server's texts take {size // 2**20} MiB, too much to read them"
        return ""

    async def plan(self, cases: list[_Case]) -> None:
        """Gives the cases their plans, or the reason why they have none."""
        meanings: list[Meaning] = []
        wanted = [case for case in cases if case.words and not case.refusal]
        if wanted:
            meanings = await look_up(self._db, [case.words for case in wanted if case.words])
        for case in wanted:
            case.refusal = hidden_code(case.words, meanings) if case.words else ""
        planned = [case for case in wanted if not case.refusal]
        for case in planned[MOST_PLANNED:]:
            case.refusal = f"only the first {MOST_PLANNED} statements are planned"
        planned = planned[:MOST_PLANNED]
        for case in planned:
            await self._explain(case, [None] * case.parameters, "generic")
        planned = [case for case in planned if case.plans]
        places = {place for case in planned for place in _places(case)}
        if places:
            self.tables, samples = await read_tables(self._db, places)
            for case in planned:
                await self._with_values(case, samples, meanings)
        elif self._analyze:
            for case in planned:
                await self._with_values(case, {}, meanings)

    async def _explain(
        self, case: _Case, values: list[str | None], name: str, *, analyze: bool = False
    ) -> str:
        """Adds a plan; returns, and for the first plan keeps, the reason when there is none."""
        try:
            if time.monotonic() > self._until:
                raise Absent("the time for plans was used up", kind=AbsenceKind.FAILED)
            document = await self._db.explain(
                plannable(case.text), values, search_path=case.search_path, analyze=analyze
            )
            plan = read_plan(document, name)
        except (Absent, ValueError) as error:
            if not case.plans:
                case.refusal = str(error)
                case.blind = isinstance(error, Absent) and error.absence.kind is AbsenceKind.BLIND
            return str(error)
        case.document = case.document or document
        case.plans.append(plan)
        return ""

    async def _with_values(
        self, case: _Case, samples: Samples, meanings: Iterable[Meaning]
    ) -> None:
        lists = list(_values(case, samples))
        if case.parameters:
            for name, values in zip(("common", "rare"), lists, strict=False):
                if self._customs > 0:
                    self._customs -= 1
                    await self._explain(case, values, name)
        if self._analyze:
            values = lists[0] if lists else []
            case.not_run = _not_run(case, values, meanings)
            if not case.not_run:
                case.not_run = await self._explain(case, values, "analyzed", analyze=True)


def _describe(case: _Case, row: dict[str, Any] | None) -> None:
    text = row["text"] if row else None
    if row is None or not text:
        case.refusal = "the server has lost its text"
        return
    case.text = text
    case.search_path = schemas_in(row["search_path"] or "", row["role"] or "")
    try:
        case.words = read(text)
        case.refusal = refusal(case.words)
    except UnreadableError as error:
        case.refusal = str(error)


def _places(case: _Case) -> set[tuple[str, str]]:
    scanned = {(scan.schema, scan.table) for plan in case.plans for scan in plan.scans}
    compared = parameter_columns(case.document).values()
    return scanned | {(schema, table) for schema, table, _, _ in compared}


def _values(case: _Case, samples: Samples) -> Iterator[list[str | None]]:
    """Values for all placeholders, common ones and then rare ones; nothing if one has none."""
    columns = parameter_columns(case.document)
    bounds = case.words.bounds if case.words else {}
    for choice in (0, 1):
        values: list[str | None] = []
        for number in range(1, case.parameters + 1):
            if number in bounds:
                rows = max(1, round(case.load.rows_per_call))
                values.append("0" if bounds[number] == "offset" else str(rows))
            elif number in columns:
                schema, table, column, is_array = columns[number]
                value = samples.get((schema, table, column), (None, None))[choice]
                escaped = None if value is None else re.sub(r'(["\\])', r"\\\1", value)
                values.append(f'{{"{escaped}"}}' if is_array and value is not None else value)
        if len(values) == case.parameters and None not in values:
            yield values


def _not_run(case: _Case, values: list[str | None], meanings: Iterable[Meaning]) -> str:
    """Why a statement is not run with EXPLAIN ANALYZE, or ""."""
    cost = max(plan.cost for plan in case.plans)
    if case.words is None or any(one.changes for one in case.plans):
        return "not run: its plan changes or locks rows"
    if reason := may_change(case.words, meanings):
        return f"not run: {reason}"
    if len(values) != case.parameters:
        return "not run: no values are known for its placeholders"
    if cost > MOST_COST:
        return f"not run: the planner expects a cost of {cost:.0f}, above {MOST_COST:.0f}"
    if case.load.mean_ms > MOST_MEAN_MS:
        return (
            f"not run: a call takes {case.load.mean_ms:.0f} ms; three times that would pass our "
            "statement_timeout of 2 s"
        )
    return ""
