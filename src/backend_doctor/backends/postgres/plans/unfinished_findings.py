"""Statements that run and have not ended: what sessions show where counters do not."""

from collections.abc import Iterator

from backend_doctor.backends.postgres.plans.volume_rules import fetch_in_pages
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.statements import StatementStatistics
from backend_doctor.facts import Looks
from backend_doctor.model import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
)


def _subjects(session: Session) -> tuple[Subject, ...]:
    return (
        Subject(kind="pid", value=str(session.pid)),
        Subject(kind="application", value=session.holder),
        *((Subject(kind="query", value=session.query_id),) if session.query_id else ()),
    )


def _lasting(sessions: Looks[Sessions], seconds: float) -> Iterator[Session]:
    """Who runs the same statement in both looks, for so long; not those that wait for a lock."""
    before = sessions.first.by_pid()
    for one in sessions.last.clients:
        same = one.pid in before and one.same_stay(before[one.pid])
        busy = one.state == "active" and one.wait_type != "Lock"
        if busy and same and (one.state_age or 0.0) >= seconds:
            yield one


def unread(sessions: Looks[Sessions], seconds: float) -> Finding | None:
    """A statement whose client has not read on between the looks; copies and dumps are left
    out, since they read for as long as they write elsewhere."""
    before = sessions.first.by_pid()
    stuck = [
        one
        for one in _lasting(sessions, seconds)
        if one.wait == before[one.pid].wait == "ClientWrite"
        and not one.query.lstrip().upper().startswith("COPY")
    ]
    longest = max(stuck, key=lambda one: one.state_age or 0.0, default=None)
    if longest is None:
        return None
    age = longest.state_age or 0.0
    return Finding(
        status=Status.WARNING,
        summary=f"{longest.holder} does not read the result of its statement: the server has "
        f"waited in both looks, and the statement runs for {age:.0f} s.",
        evidence=(
            Evidence(
                key="statement_seconds",
                value=round(age, 1),
                text=f"running for {age:.0f} s: {' '.join(longest.query.split())}",
                source="pg_stat_activity.state_change",
            ),
            Evidence(
                key="sessions_waiting_for_client",
                value=len(stuck),
                text=f"{len(stuck)} sessions wait until the client reads (ClientWrite)",
                source="pg_stat_activity.wait_event",
            ),
        ),
        cause=Cause(
            label="query.result_too_big",
            confidence=Confidence.LIKELY,
            because="the server has rows ready that the client does not take; neither an index nor "
            "a faster server helps",
        ),
        remedies=(fetch_in_pages([longest.holder]),),
        subjects=_subjects(longest),
    )


def running(statistics: StatementStatistics, sessions: Looks[Sessions], seconds: float) -> Finding:
    """What can be said without counters: which statement runs, and since when."""
    active = (s for s in sessions.last.clients if s.state == "active" and s.wait_type != "Lock")
    age = max((one.state_age or 0.0 for one in active), default=0.0)
    lasting = list(_lasting(sessions, seconds))
    longest = max(lasting, key=lambda one: one.state_age or 0.0, default=None)
    measure = Measure(name="longest_statement_seconds", value=round(age, 1), unit="s")
    missing = statistics.absence
    why = missing.reason if missing else "its counters were reset between the looks"
    remedy = Remedy(
        step=Step.PREVENT,
        command=missing.remedy if missing else "",
        effect="lets statements be counted, so that those that are short but many are seen too",
        changes_state=True,
    )
    remedies = (remedy,) if missing else ()
    if longest is None:
        if missing and "\n" not in missing.remedy:
            why += f": {missing.remedy.partition(';')[0]};"
        return Finding(
            status=Status.OK,
            summary=f"No statement has run for {seconds:g} s or longer.",
            notes=(f"shorter statements cannot be told: {why}",),
            remedies=remedies,
            measures=(measure,),
        )
    age = longest.state_age or 0.0
    return Finding(
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
        subjects=_subjects(longest),
        measures=(measure,),
    )
