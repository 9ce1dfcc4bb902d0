from collections.abc import Iterator

import msgspec

from backend_doctor import Finding, Looks, Measure, Status, check
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.plans.plans import Plans
from backend_doctor.backends.postgres.plans.slowness import (
    Limits,
    SlowStatement,
    statements_of,
    unended,
)
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import Statements, StatementStatistics
from backend_doctor.backends.postgres.write_rates import write_rates


@check
def slow_queries(
    statistics: StatementStatistics,
    statements: Looks[Statements] | None,
    plans: Plans | None,
    sessions: Looks[Sessions],
    counters: Looks[Counters] | None,
    *,
    share: float = 0.20,
    mean_ms: float = 10.0,
    calls: int = 3,
    busy: float = 0.05,
    table_rows: int = 10_000,
    removed_ratio: float = 100.0,
    misestimate: float = 10.0,
    result_rows: int = 10_000,
    unexplained_ms: float = 100.0,
    critical_ms: float = 500.0,
    running_seconds: float = 10.0,
) -> Iterator[Finding]:
    """Statements take most of the server's time, and their plans or counters show why.

    Slow is a statement with ``share`` of the window's execution time, ``mean_ms`` a call,
    ``calls`` of them, that keeps ``busy`` sessions busy on average. Its plan is blamed where it
    reads a whole table of ``table_rows`` and throws ``removed_ratio`` times as many rows away
    as it keeps, or where it is wrong by ``misestimate``; its client where it is slow to take
    ``result_rows`` or more, or a few for which a call reads 10 MiB. One without a plan is told
    from ``unexplained_ms`` on; without counters, one that runs for ``running_seconds``.
    """
    from backend_doctor.backends.postgres.plans.slow_findings import (
        found_slow,
        reasons,
        tables_of,
    )
    from backend_doctor.backends.postgres.plans.unfinished_findings import running, unread

    known = (plans or Plans(statements=())).with_writes(write_rates(counters))
    limits = Limits(table_rows, removed_ratio, misestimate, result_rows)
    found = statements_of(statements, plans, sessions) if statements else []
    slow = [
        one
        for one in found
        if one.share >= share
        and one.load.mean_ms >= mean_ms
        and one.load.calls >= calls
        and one.load.busy >= busy
    ]
    said = [_say(one, known, sessions.last, limits, unexplained_ms, critical_ms) for one in slow]
    findings = [one for one in said if isinstance(one, Finding)]
    told = {subject.value for one in findings for subject in one.subjects}
    for one in unended(plans, sessions, running_seconds):
        why = reasons(one, tables_of(known), limits)
        if why and one.load.query_id not in told and not one.waits_for_locks:
            findings.append(found_slow(one, why, critical=False))
    stuck = unread(sessions, running_seconds)
    if stuck and not any({*stuck.subjects} & {*one.subjects} for one in findings):
        findings.append(stuck)
    if statements is None:
        yield from findings or [running(statistics, sessions, running_seconds)]
        return
    if not findings:
        summary = "No statement of the window is slow for a reason that its plan shows."
        findings.append(Finding(status=Status.OK, summary=summary))
    busiest = round(found[0].load.busy if found else 0.0, 3)
    findings[0] = msgspec.structs.replace(
        findings[0],
        measures=(Measure(name="busiest_statement_sessions", value=busiest),),
        notes=(*findings[0].notes, *(one for one in said if isinstance(one, str))),
    )
    yield from findings


def _say(
    slow: SlowStatement,
    plans: Plans,
    now: Sessions,
    limits: Limits,
    unexplained_ms: float,
    critical_ms: float,
) -> Finding | str:
    """A finding for a slow statement, or a note where there is nothing to find."""
    from backend_doctor.backends.postgres.plans.slow_findings import (
        found_slow,
        reasons,
        tables_of,
        unclear,
    )

    if slow.waits_for_locks:
        name = f"statement {slow.load.query_id} ({slow.text})"
        return f"{name} waits for locks: see postgres.lock_waits"
    if why := reasons(slow, tables_of(plans), limits):
        critical = slow.share >= 0.5 and slow.load.mean_ms >= critical_ms
        return found_slow(slow, why, critical=critical)
    return unclear(slow, plans, now, limits, unexplained_ms)
