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
from backend_doctor.backends.postgres.explained import Scan
from backend_doctor.backends.postgres.indexes import Proposal, build_index, old_transactions
from backend_doctor.backends.postgres.plans import Plans
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slowness import (
    SlowStatement,
    Verdict,
    judge_plans,
    statements_of,
)
from backend_doctor.backends.postgres.statements import Statements, StatementStatistics
from backend_doctor.backends.postgres.tables import Table

_EXPLAINS = ("query.pileup", "pool.server_full", "pool.undersized", "reach.full")


def _evidence(
    slow: SlowStatement, verdict: Verdict, scan: Scan, table: Table
) -> Iterator[Evidence]:
    load = slow.load
    source = "pg_stat_statements, two looks"
    yield Evidence(key="statement_share", value=round(slow.share, 3), text=slow.text, source=source)
    yield Evidence(
        key="mean_ms",
        value=round(load.mean_ms, 1),
        text=f"{load.mean_ms:.1f} ms a call; it kept {load.busy:.1f} sessions busy on average",
        source=source,
    )
    yield Evidence(key="calls", value=load.calls, text=f"{load.calls} calls ended", source=source)
    who = f" (run by {', '.join(slow.applications)})" if slow.applications else ""
    yield Evidence(
        key="query_id",
        value=load.query_id,
        text=f"the statement{who}: {slow.planned.text}",
        source="pg_stat_statements.query",
    )
    whole = "the whole index " + scan.index if scan.index else "the whole table"
    yield Evidence(
        key="table",
        value=f"{table.schema}.{table.name}",
        text=f"its plan reads {whole} {table.schema}.{table.name} ({scan.node}) and filters by "
        f"{scan.filter}",
        source="EXPLAIN",
    )
    yield Evidence(
        key="rows",
        value=round(table.rows),
        text=f"the table holds about {table.rows:.0f} rows",
        source="pg_class.reltuples",
    )
    how = "counted" if verdict.measured else "estimated by the planner"
    if scan.direct:
        source = "pg_stat_statements.rows"
    else:
        source = "EXPLAIN" if scan.removed is None else "EXPLAIN (ANALYZE)"
    removed = table.rows * scan.loops - verdict.returned
    yield Evidence(
        key="removed_rows",
        value=round(removed),
        text=f"a call throws about {removed:.0f} rows away to return {verdict.returned:.0f} "
        f"({how})",
        source=source,
    )
    if verdict.proposal and (near := verdict.proposal.broken or verdict.proposal.near):
        state = "is invalid: it was never finished" if not near.valid else "does not serve it"
        columns = ", ".join(column or "an expression" for column in near.columns)
        yield Evidence(
            key="existing_index",
            value=near.name,
            text=f"the index {near.name} ({columns}) {state}",
            source="pg_index",
        )


def _missing_index(
    slow: SlowStatement,
    verdict: Verdict,
    scan: Scan,
    table: Table,
    proposal: Proposal,
    critical: bool,
) -> Finding:
    columns = ", ".join(proposal.columns)
    differ = {plan.outline for plan in slow.planned.plans if plan.values != "analyzed"}
    notes = [slow.planned.not_run] if slow.planned.not_run else []
    if len(differ) > 1:
        notes.append("its plan differs with the values that are asked for")
    if table.partition:
        notes.append(f"{table.name} is a partition: its siblings need the index too")
    return Finding(
        status=Status.CRITICAL if critical else Status.WARNING,
        summary=f"No index serves {table.schema}.{table.name} ({columns}): one statement reads "
        f"all of it and takes {slow.text}.",
        evidence=tuple(_evidence(slow, verdict, scan, table)),
        cause=Cause(
            label="query.missing_index",
            confidence=Confidence.CERTAIN if verdict.measured else Confidence.LIKELY,
            because=f"each call reads about {table.rows:.0f} rows and keeps "
            f"{verdict.returned:.0f}; an index on ({columns}) would lead to them",
        ),
        remedies=(old_transactions(), *build_index(proposal)),
        explains=_EXPLAINS,
        subjects=slow.subjects,
        notes=tuple(notes),
    )


def _grant(plans: Plans) -> Remedy:
    return Remedy(
        step=Step.CURE,
        command=plans.remedy,
        effect="lets plans be had; PostgreSQL ties them to the right to read the tables. "
        "GRANT SELECT on the statement's own tables is enough as well",
        changes_state=True,
    )


def _unexplained(slow: SlowStatement, reason: str, remedy: Remedy | None) -> Finding:
    return Finding(
        status=Status.UNKNOWN,
        summary=f"One statement takes {slow.text}; why is not known: {reason}.",
        evidence=(
            Evidence(
                key="query_id",
                value=slow.load.query_id,
                text=f"the statement: {slow.planned.text or '(no text)'}",
                source="pg_stat_statements",
            ),
        ),
        remedies=(remedy,) if remedy else (),
        subjects=slow.subjects,
    )


def _running(
    statistics: StatementStatistics, sessions: Looks[Sessions], seconds: float
) -> Iterator[Finding]:
    """What can be said without counters: which statement runs, and since when."""
    before = sessions.first.by_pid()
    running = [s for s in sessions.last.clients if s.state == "active" and s.wait_type != "Lock"]
    longest = max(running, key=lambda s: s.state_age or 0.0, default=None)
    age = (longest.state_age or 0.0) if longest else 0.0
    measure = Measure(name="longest_statement_seconds", value=round(age, 1), unit="s")
    missing = statistics.absence
    why = missing.reason if missing else "its counters were reset between the looks"
    note = f"shorter statements cannot be told: {why}"
    remedy = Remedy(
        step=Step.PREVENT,
        command=missing.remedy if missing else "SELECT pg_postmaster_start_time();",
        effect="lets statements be counted, so that those that are short but many are seen too",
        changes_state=missing is not None,
    )
    remedies = (remedy,) if missing else ()
    stuck = longest is not None and longest.pid in before
    if longest is None or age < seconds or not stuck or not longest.same_stay(before[longest.pid]):
        summary = f"No statement has run for {seconds:g} s or longer."
        yield Finding(
            status=Status.OK,
            summary=summary,
            notes=(note,),
            remedies=remedies,
            measures=(measure,),
        )
        return
    yield Finding(
        status=Status.UNKNOWN,
        summary=f"A statement of {longest.holder} has run for {age:.0f} s; why is not known: "
        f"{why}.",
        evidence=(
            Evidence(
                key="statement_seconds",
                value=round(age, 1),
                text=f"running for {age:.0f} s: {' '.join(longest.query.split())}",
                source="pg_stat_activity.state_change",
            ),
        ),
        remedies=remedies,
        subjects=(
            Subject(kind="pid", value=str(longest.pid)),
            Subject(kind="application", value=longest.holder),
            *((Subject(kind="query", value=longest.query_id),) if longest.query_id else ()),
        ),
        measures=(measure,),
    )


def _findings(
    slow: list[SlowStatement],
    plans: Plans,
    *,
    table_rows: int,
    removed_ratio: float,
    unexplained_ms: float,
    critical_ms: float,
) -> Iterator[Finding | str]:
    """A finding for each slow statement, or a note where there is nothing to find."""
    for one in slow:
        name = f"statement {one.load.query_id} ({one.text})"
        if one.waits_for_locks:
            yield f"{name} waits for locks: see postgres.lock_waits"
            continue
        verdict = judge_plans(one, plans, table_rows, removed_ratio)
        if verdict.scan and verdict.table and verdict.proposal:
            critical = one.share >= 0.5 and one.load.mean_ms >= critical_ms
            found = (verdict.scan, verdict.table, verdict.proposal)
            yield _missing_index(one, verdict, *found, critical)
            continue
        reason = one.planned.refusal or verdict.reason
        if reason and (one.planned.blind or verdict.remedy or one.load.mean_ms >= unexplained_ms):
            yield _unexplained(one, reason, _grant(plans) if one.planned.blind else verdict.remedy)
        elif reason:
            yield f"{name} was not judged: {reason}"
        else:
            yield f"{name}: its plan shows no missing index"


@check
def slow_queries(
    statistics: StatementStatistics,
    statements: Looks[Statements] | None,
    plans: Plans | None,
    sessions: Looks[Sessions],
    *,
    share: float = 0.20,
    mean_ms: float = 10.0,
    calls: int = 3,
    busy: float = 0.05,
    table_rows: int = 10_000,
    removed_ratio: float = 100.0,
    unexplained_ms: float = 100.0,
    critical_ms: float = 500.0,
    running_seconds: float = 10.0,
) -> Iterator[Finding]:
    """Statements take most of the server's time because an index is missing.

    Slow is a statement with ``share`` of the window's execution time, ``mean_ms`` a call,
    ``calls`` of them, that keeps ``busy`` sessions busy on average. An index is missing where its
    plan reads a whole table of ``table_rows`` and throws ``removed_ratio`` times as many rows away
    as it keeps. One without a plan is told from ``unexplained_ms`` on; without counters, one that
    runs for ``running_seconds``.
    """
    if statements is None:
        yield from _running(statistics, sessions, running_seconds)
        return
    found = statements_of(statements, plans, sessions)
    slow = [
        one
        for one in found
        if one.share >= share
        and one.load.mean_ms >= mean_ms
        and one.load.calls >= calls
        and one.load.busy >= busy
    ]
    top = found[0].load.busy if found else 0.0
    measure = Measure(name="busiest_statement_sessions", value=round(top, 3))
    said = list(
        _findings(
            slow,
            plans or Plans(statements=()),
            table_rows=table_rows,
            removed_ratio=removed_ratio,
            unexplained_ms=unexplained_ms,
            critical_ms=critical_ms,
        )
    )
    findings = [one for one in said if isinstance(one, Finding)]
    notes = tuple(one for one in said if isinstance(one, str))
    if not findings:
        summary = "No statement of the window is slow for want of an index."
        yield Finding(status=Status.OK, summary=summary, notes=notes, measures=(measure,))
        return
    for number, finding in enumerate(findings):
        first = {"measures": (measure,), "notes": (*finding.notes, *notes)}
        yield msgspec.structs.replace(finding, **first) if number == 0 else finding
