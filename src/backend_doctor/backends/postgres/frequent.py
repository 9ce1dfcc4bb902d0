"""The statements called most often in the window, with their texts: who calls whom, who writes."""

import re
from collections.abc import Iterable
from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.statements import (
    Load,
    Statements,
    StatementStatistics,
    window_loads,
)
from backend_doctor.backends.postgres.texts import read_texts
from backend_doctor.backends.sql import mask_literals
from backend_doctor.facts import AbsenceKind, Absent, Fact, Looks
from backend_doctor.text import shorten

# calls a second from which round trips, or a cache, matter
LEAST_PER_SECOND = 50.0
# a statement that returns the keys for which another is called returns about as many rows
FEWEST_EACH = 5
MOST_APART = 0.3
_MOST_FREQUENT, _MOST_PARENTS = 6, 4
# patterns as texts: re compiles them with the first statement, and most runs read none
_COMMENT = r"(?s)--[^\n]*|/\*.*?\*/"
_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_TABLE = (
    r"(?i)\b(?:from|join|into|update|table|truncate|copy)\s+(?:only\s+)?"
    rf"({_NAME}(?:\.{_NAME})?)"
)
_ID = rf"(?:{_NAME}\.)?{_NAME}\s*=\s*\$\d+(?:::\w+)?"
_BY_ID = (
    rf"(?i)\bwhere\s+\(?{_ID}\)?(?:\s+and\s+\(?(?:{_ID}|(?:{_NAME}\.)?{_NAME}\s+is\s+(?:not\s+)?null)"
    r"\)?)?(?:\s+order\s+by\s+[\w\".,\s]+)?(?:\s+limit\s+\$?\d+)?\s*;?\s*$"
)
_SELECT = r"(?i)\s*\(?\s*select\b"
_CHANGES = r"(?i)\b(insert|update|delete|merge|truncate|copy)\b"
# what makes a result another one at each call, or locks rows
_UNSTABLE = (
    r"(?i)\bfor\s+(no\s+key\s+)?(update|share|key)\b|\bcurrent_(date|time|timestamp)\b|\blocaltime"
    r"|\b(now|random|clock_timestamp|statement_timestamp|nextval|currval|pg_\w+)\s*\("
)


class FrequentStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What the text of one statement tells; ``text`` has its literals masked.

    ``tables`` are those that it names, without schema. ``by_id`` when it is a SELECT that asks for
    one key, or two, and nothing else. ``changes`` data; ``cacheable`` when it reads tables and
    nothing in it makes its result another one at each call. ``parameters`` is the number of
    its placeholders.
    """

    query_id: str
    database: str
    text: str
    tables: tuple[str, ...] = ()
    by_id: bool = False
    changes: bool = False
    cacheable: bool = False
    parameters: int = 0


def describe(query_id: str, database: str, text: str) -> FrequentStatement:
    """What can be told of a statement by its text."""
    plain = re.sub(_COMMENT, " ", text)
    names = (match.rpartition(".")[2] for match in re.findall(_TABLE, plain))
    # PostgreSQL folds what is not quoted
    tables = (name.strip('"') if name.startswith('"') else name.lower() for name in names)
    found = tuple(dict.fromkeys(tables))
    changes = re.search(_CHANGES, plain) is not None
    reads = re.match(_SELECT, plain) is not None and not changes and bool(found)
    return FrequentStatement(
        query_id=query_id,
        database=database,
        text=shorten(" ".join(mask_literals(text).split()), 400),
        tables=found,
        by_id=reads and len(found) == 1 and re.search(_BY_ID, plain) is not None,
        changes=changes,
        cacheable=reads and re.search(_UNSTABLE, plain) is None,
        parameters=len(set(re.findall(r"\$\d+", plain))),
    )


def frequent_loads(loads: Iterable[Load], seconds: float) -> list[Load]:
    """Those called ``LEAST_PER_SECOND`` times a second or more, most first; a few at most."""
    often = [load for load in loads if load.calls >= LEAST_PER_SECOND * seconds]
    return sorted(often, key=lambda load: load.calls, reverse=True)[:_MOST_FREQUENT]


def possible_parents(child: Load, loads: Iterable[Load]) -> list[Load]:
    """Statements of the same role that return about as many rows as the child has calls, several
    a call; the closest first."""

    def apart(load: Load) -> float:
        return abs(load.rows / child.calls - 1)

    fitting = [
        load
        for load in loads
        if (load.database, load.role) == (child.database, child.role)
        and load.rows_per_call >= FEWEST_EACH
        and load.calls * FEWEST_EACH <= child.calls
        and apart(load) <= MOST_APART
    ]
    return sorted(fitting, key=apart)[:_MOST_PARENTS]


class FrequentStatements(Fact, frozen=True):
    """The most frequent statements of the window, those that may have caused their calls, and all
    that change data. ``refusal`` says why there are no texts, or ""."""

    statements: tuple[FrequentStatement, ...] = ()
    refusal: str = ""

    def by_key(self) -> dict[tuple[str, str], FrequentStatement]:
        """The statements by (database, query id)."""
        return {(one.database, one.query_id): one for one in self.statements}

    @classmethod
    async def collect(
        cls,
        db: PostgresConnection,
        statistics: StatementStatistics,
        statements: Looks[Statements],
    ) -> Self:
        """One statement, and none where nothing is called often."""
        loads = window_loads(statements)
        often = frequent_loads(loads, statements.seconds)
        if not often:
            return cls()
        parents = [parent for child in often for parent in possible_parents(child, loads)]
        databases = {load.database for load in often}
        texts, refusal = await read_texts(
            db,
            statistics,
            statements.last.entries,
            {load.query_id for load in (*often, *parents)},
            changing={load.query_id for load in loads if load.database in databases},
        )
        found = (describe(query_id, name, text) for (name, query_id), text in texts.items())
        return cls(statements=tuple(found), refusal=refusal)


def refuse_without_counters(statistics: StatementStatistics, *, seen: bool) -> None:
    """Raises Absent where calls are not counted: blind for want of a right, else not applicable
    for want of a second look (not ``seen``) or of the library that postgres.slow_queries asks for.
    """
    missing = statistics.absence
    if missing is not None:
        kind = AbsenceKind.NOT_APPLICABLE if statistics.uncounted else AbsenceKind.BLIND
        raise Absent(missing.reason, remedy=missing.remedy, kind=kind)
    if not seen:
        reason = "calls can be counted only between two looks; use a --window above 0"
        raise Absent(reason, kind=AbsenceKind.NOT_APPLICABLE)
