from collections.abc import Iterator

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
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters, counts_within
from backend_doctor.backends.postgres.locks import circles
from backend_doctor.backends.postgres.sessions import Session, Sessions


def _caught(sessions: Looks[Sessions] | None) -> tuple[Session, ...]:
    """Sessions that a look saw waiting for one another, the larger circle of both looks."""
    if sessions is None:
        return ()
    return max(circles(sessions.first), circles(sessions.last), key=len)


def _evidence(
    sick: list[DatabaseCounters], seconds: float, caught: tuple[Session, ...]
) -> Iterator[Evidence]:
    total = sum(one.deadlocks for one in sick)
    where = ", ".join(f"{one.deadlocks} in database {one.name}" for one in sick[:5])
    yield Evidence(
        key="deadlocks",
        value=total,
        text=f"{total} deadlocks in {seconds:.1f} s: {where}; the server ended one transaction in "
        "each",
        source="pg_stat_database.deadlocks",
    )
    yield Evidence(
        key="rollbacks",
        value=sum(one.rollbacks for one in sick),
        text=f"{sum(one.rollbacks for one in sick)} transactions were rolled back there meanwhile",
        source="pg_stat_database.xact_rollback",
    )
    if caught:
        names = ", ".join(f"pid {one.pid} of {one.holder}" for one in caught[:6])
        yield Evidence(
            key="circle_pids",
            value=tuple(one.pid for one in caught),
            text=f"a look caught {len(caught)} sessions that wait for one another: {names}",
            source="pg_blocking_pids",
        )
        for number, text in enumerate(sorted({" ".join(one.query.split()) for one in caught})[:4]):
            yield Evidence(
                key=f"circle_statement_{number}",
                value=text,
                text=f"one of them runs: {text}",
                source="pg_stat_activity.query",
            )


def _remedies() -> tuple[Remedy, ...]:
    return (
        Remedy(
            step=Step.CONFIRM,
            command="SELECT datname, deadlocks, xact_rollback, stats_reset\n"
            "  FROM pg_stat_database WHERE deadlocks > 0 ORDER BY deadlocks DESC;",
            effect="run it twice: the count grows. The server's log has both statements of each, "
            'at "deadlock detected"',
        ),
        Remedy(
            step=Step.CURE,
            command="take rows in one order in every transaction: sort the ids before the loop, or "
            "lock them first: SELECT ... WHERE id = ANY ($1) ORDER BY id FOR UPDATE",
            effect="two transactions that need the same rows then queue up, and no circle closes",
            language="text",
        ),
        Remedy(
            step=Step.PREVENT,
            command="run the whole transaction again on SQLSTATE 40P01, after a short random pause",
            effect="the request of the transaction that was ended succeeds all the same",
            language="text",
        ),
    )


@check
def deadlocks(
    counters: Looks[Counters],
    sessions: Looks[Sessions] | None,
    *,
    critical_per_second: float = 1.0,
) -> Iterator[Finding]:
    """Transactions wait for one another in a circle, and the server ends one of each.

    Any deadlock within the window counts: one in five seconds is hundreds an hour. A healthy
    application has one now and then, months apart.
    """
    counts = counts_within(counters)
    sick = [one for one in counts.databases if one.deadlocks > 0]
    sick.sort(key=lambda one: one.deadlocks, reverse=True)
    total = sum(one.deadlocks for one in sick)
    rate = total / counts.seconds if counts.seconds else 0.0
    measure = Measure(name="deadlocks_per_second", value=round(rate, 3))
    if not sick:
        summary = f"No deadlock within {counts.seconds:.1f} s."
        yield Finding(status=Status.OK, summary=summary, measures=(measure,))
        return
    caught = _caught(sessions)
    many = "1 deadlock" if total == 1 else f"{total} deadlocks"
    yield Finding(
        status=Status.CRITICAL if rate >= critical_per_second else Status.WARNING,
        summary=f"{many} within {counts.seconds:.1f} s: the server ended a transaction for each.",
        evidence=tuple(_evidence(sick, counts.seconds, caught)),
        cause=Cause(
            label="lock.deadlocks",
            confidence=Confidence.CERTAIN,
            because="transactions lock the same rows in different orders, so each waits for what "
            "the other holds",
        ),
        remedies=_remedies(),
        explains=("http.server_error", "cors.error_masks_5xx"),
        subjects=(
            # as an answer of the application names it
            Subject(kind="error", value="postgres.deadlock"),
            *(Subject(kind="pid", value=str(one.pid)) for one in caught),
            *(
                Subject(kind="application", value=name)
                for name in dict.fromkeys(one.holder for one in caught)
            ),
        ),
        measures=(measure,),
    )
