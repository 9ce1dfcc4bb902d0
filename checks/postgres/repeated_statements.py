from collections.abc import Iterator

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Looks,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.postgres.frequent import (
    FrequentStatements,
    frequent_loads,
    refuse_without_counters,
)
from backend_doctor.backends.postgres.repetition import Repetition, repetitions
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import (
    Statements,
    StatementStatistics,
    window_loads,
)
from backend_doctor.backends.sql import quote_identifier

_SOURCE = "pg_stat_statements, two looks"
# between machines of one data centre; the server cannot see what it is here
_ROUND_TRIP_MS = 0.5


def _evidence(found: Repetition, seconds: float, applications: list[str]) -> Iterator[Evidence]:
    child, text = found.children[0]
    who = f" (run by {', '.join(applications[:3])})" if applications else ""
    yield Evidence(
        key="round_trips_per_call",
        value=round(found.each, 1),
        text=f"one call of the parent is followed by about {found.each:.0f} more, as many as it "
        f"returns rows ({found.parent.rows_per_call:.0f}): {found.parent.calls} calls against "
        f"{found.calls}",
        source=_SOURCE,
    )
    yield Evidence(
        key="calls_per_second",
        value=round(found.calls / seconds, 1),
        text=f"{found.calls / seconds:.0f} calls a second, {found.share:.0%} of all calls in "
        f"database {child.database}",
        source=_SOURCE,
    )
    yield Evidence(
        key="parent_query_id",
        value=found.parent.query_id,
        text=f"the parent: {found.parent_text}",
        source="pg_stat_statements.query",
    )
    for number, (load, one) in enumerate(found.children):
        yield Evidence(
            key="query_id" if not number else f"query_id_{number}",
            value=load.query_id,
            text=f"called for each row{who}: {one.text}",
            source="pg_stat_statements.query",
        )
    yield Evidence(
        key="mean_ms",
        value=round(child.mean_ms, 3),
        text=f"{child.mean_ms:.2f} ms and {child.rows_per_call:.1f} rows a call: each is quick, it "
        f"is their number that costs",
        source=_SOURCE,
    )
    network = found.each * _ROUND_TRIP_MS
    yield Evidence(
        key="estimated_ms_per_call",
        value=round(found.execution_ms + network, 1),
        text=f"an estimate of what that adds to each: {found.execution_ms:.0f} ms within the "
        f"server, and {network:.0f} ms on the way if a round trip takes {_ROUND_TRIP_MS:g} ms",
        source="calculated",
    )
    yield Evidence(key="table", value=text.tables[0], text=f"it reads {text.tables[0]}")


def _remedies(found: Repetition, schema: str) -> Iterator[Remedy]:
    text = found.children[0][1]
    ids = ", ".join([found.parent.query_id, *(load.query_id for load, _ in found.children)])
    yield Remedy(
        step=Step.CONFIRM,
        command="SELECT queryid, calls, rows, mean_exec_time, left(query, 60) AS query\n"
        f"  FROM {quote_identifier(schema)}.pg_stat_statements\n"
        f" WHERE queryid IN ({ids});",
        effect="run it twice: the calls of one grow as the rows of the other do",
    )
    yield Remedy(
        step=Step.CURE,
        command="SELECT ... WHERE key = ANY ($1)   -- all keys of the parent's rows at once; or a "
        "JOIN. SQLAlchemy: selectinload(...); Django: prefetch_related(...) or select_related(...)",
        effect=f"one round trip in place of {found.each:.0f}: the code that runs the parent loops "
        f"over its rows and asks {text.tables[0]} for each",
        language="text",
    )
    yield Remedy(
        step=Step.PREVENT,
        command="count the statements of a request in a test; SQLAlchemy: raiseload('*'), Django: "
        "assertNumQueries",
        effect="a loop over rows that asks the database fails before it is deployed",
        language="text",
    )


def _finding(found: Repetition, seconds: float, applications: list[str], schema: str) -> Finding:
    child, text = found.children[0]
    ids = [found.parent.query_id, *(load.query_id for load, _ in found.children)]
    return Finding(
        status=Status.WARNING,
        summary=f"One statement is followed by about {found.each:.0f} others, one for each row "
        f"that it returns: {found.calls / seconds:.0f} round trips a second to read "
        f"{text.tables[0]}.",
        evidence=tuple(_evidence(found, seconds, applications)),
        cause=Cause(
            label="query.n_plus_one",
            confidence=Confidence.LIKELY,
            because=f"role {child.role} asks {text.tables[0]} for one key at a time, as often as "
            "another statement of that role returns rows",
        ),
        remedies=tuple(_remedies(found, schema)),
        explains=("http.slow", "pool.undersized"),
        subjects=(
            *(Subject(kind="query", value=query_id) for query_id in ids),
            *(Subject(kind="application", value=name) for name in applications),
        ),
    )


def _applications(found: Repetition, sessions: Looks[Sessions] | None) -> list[str]:
    ids = {load.query_id for load, _ in found.children}
    seen = (*sessions.first.clients, *sessions.last.clients) if sessions else ()
    return sorted({session.holder for session in seen if session.query_id in ids})


@check
def repeated_statements(
    statistics: StatementStatistics,
    statements: Looks[Statements] | None,
    frequent: FrequentStatements | None,
    sessions: Looks[Sessions] | None,
    *,
    calls_per_second: float = 50.0,
    most_ms: float = 1.0,
    most_rows: float = 10.0,
    share: float = 0.3,
) -> Iterator[Finding]:
    """N+1: the application asks for the rows of a list one by one.

    That is a quick SELECT (below ``most_ms`` and ``most_rows`` a call) by a single key, called
    ``calls_per_second`` times or more, as often as another statement of the same role returns
    rows; together ``share`` of all calls in the database.
    """
    refuse_without_counters(statistics, seen=statements is not None and frequent is not None)
    assert statements is not None
    assert frequent is not None
    seconds = statements.seconds
    often = frequent_loads(window_loads(statements), seconds)
    most = max((load.calls for load in often), default=0) / seconds
    measures = (Measure(name="most_calls_per_second", value=round(most, 1)),)
    found = [
        one
        for one in repetitions(statements, frequent, sessions, most_ms=most_ms, most_rows=most_rows)
        if one.calls >= calls_per_second * seconds and one.share >= share
    ]
    for number, one in enumerate(found):
        finding = _finding(one, seconds, _applications(one, sessions), statistics.schema)
        yield finding if number else msgspec.structs.replace(finding, measures=measures)
    if not found:
        notes = (f"texts are not known: {frequent.refusal}",) if frequent.refusal else ()
        summary = "No statement is called once for each row of another."
        yield Finding(status=Status.OK, summary=summary, notes=notes, measures=measures)
