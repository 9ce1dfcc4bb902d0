"""Which frequent reads a cache could answer, told from their texts and from who writes."""

import msgspec

from backend_doctor.backends.postgres.frequent import (
    FrequentStatement,
    FrequentStatements,
    frequent_loads,
)
from backend_doctor.backends.postgres.repetition import repetitions
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import Load, Statements, window_loads
from backend_doctor.facts import Looks


class CacheableRead(msgspec.Struct, frozen=True):
    """A read that a cache could answer; ``share`` of all calls, ``writes`` are the calls of
    statements that change one of its tables."""

    load: Load
    text: FrequentStatement
    share: float
    writes: int


def _writes(read: FrequentStatement, loads: list[Load], frequent: FrequentStatements) -> int:
    texts = frequent.by_key()
    return sum(
        load.calls
        for load in loads
        if (text := texts.get((load.database, load.query_id))) is not None
        and text.changes
        and text.database == read.database
        and not set(read.tables).isdisjoint(text.tables)
    )


def cacheable_reads_of(
    statements: Looks[Statements],
    frequent: FrequentStatements,
    sessions: Looks[Sessions] | None,
    *,
    share: float,
    most_rows: float,
    most_writes: float,
) -> list[CacheableRead]:
    """The reads of the window worth a cache, most calls first.

    What an application asks once for each row of a list is left out: that wants one statement
    for all rows, not a cache.
    """
    loads, texts = window_loads(statements), frequent.by_key()
    calls, ms = sum(load.calls for load in loads), sum(load.ms for load in loads)
    repeated = {
        (load.database, load.query_id)
        for one in repetitions(statements, frequent, sessions, most_ms=1.0, most_rows=10.0)
        for load, _ in one.children
    }
    found = []
    for load in frequent_loads(loads, statements.seconds):
        key = (load.database, load.query_id)
        text = texts.get(key)
        if text is None or not text.cacheable or key in repeated:
            continue
        if load.rows_per_call > most_rows or max(load.calls / calls, load.ms / ms) < share:
            continue
        writes = _writes(text, loads, frequent)
        if writes <= most_writes * load.calls:
            found.append(CacheableRead(load, text, load.calls / calls, writes))
    return found
