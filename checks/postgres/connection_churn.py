from collections import Counter
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
from backend_doctor.backends.postgres.counters import ConnectionCounters
from backend_doctor.backends.postgres.sessions import Session, Sessions


def _newcomers(sessions: Looks[Sessions] | None) -> list[Session]:
    """Sessions that were younger than the window when a look caught them."""
    if sessions is None:
        return []
    seen = {
        (s.pid, s.started_us): s for look in (sessions.first, sessions.last) for s in look.clients
    }
    return [s for s in seen.values() if s.backend_age < sessions.seconds]


@check
def connection_churn(
    counters: Looks[ConnectionCounters],
    sessions: Looks[Sessions] | None,
    *,
    warning: float = 10.0,
    critical: float = 50.0,
) -> Iterator[Finding]:
    """Clients connect anew for nearly every query instead of keeping connections in a pool.

    Each connection costs the server a new process and a login. ``warning`` and ``critical``
    are sessions per second that were opened and did not last: a pool that grows keeps its own.
    """
    opened = counters.last.sessions - counters.first.sessions
    own = counters.last.own_statements - counters.first.own_statements
    ended = max(0, counters.last.transactions - counters.first.transactions - own)
    grown = len(sessions.last.clients) - len(sessions.first.clients) if sessions else 0
    passed = max(0, opened - max(0, grown))
    rate, each = passed / counters.seconds, ended / opened if opened else 0.0
    measure = Measure(
        name="new_sessions_per_second", value=round(rate, 2), warning=warning, critical=critical
    )
    if rate < warning:
        summary = f"{opened / counters.seconds:.1f} new sessions a second."
        yield Finding(status=Status.OK, summary=summary, measures=(measure,))
        return
    newcomers = _newcomers(sessions)
    evidence = [
        Evidence(
            key="new_sessions_per_second",
            value=round(rate, 1),
            text=f"{opened} sessions were opened in {counters.seconds:.1f} s, and {passed} of them "
            f"did not last (warning {warning:g}, critical {critical:g} a second)",
            source="pg_stat_database.sessions",
        ),
        Evidence(
            key="transactions_per_session",
            value=round(each, 1),
            text=f"{each:.1f} transactions ended on the server for each session opened",
            source="pg_stat_database.xact_commit + xact_rollback",
        ),
    ]
    if newcomers:
        who, count = Counter(s.holder for s in newcomers).most_common(1)[0]
        evidence.append(
            Evidence(
                key="application",
                value=who,
                text=f"{count} of {len(newcomers)} sessions caught while new were of {who}",
                source="pg_stat_activity.backend_start",
            )
        )
    yield Finding(
        status=Status.CRITICAL if rate >= critical else Status.WARNING,
        summary=f"{rate:.0f} connections a second are opened, used for a moment and closed.",
        evidence=tuple(evidence),
        cause=Cause(
            label="connection.churn",
            confidence=Confidence.CERTAIN,
            because="sessions open and close at the pace of the queries: no pool keeps them",
        ),
        remedies=(
            Remedy(
                step=Step.CONFIRM,
                command="SELECT application_name, usename, client_addr, count(*)\n"
                "  FROM pg_stat_activity\n"
                " WHERE backend_start > now() - interval '5 seconds'\n"
                " GROUP BY 1, 2, 3 ORDER BY 4 DESC;",
                effect="shows who connects; run it a few times",
            ),
            Remedy(
                step=Step.CURE,
                command="create_async_engine(url, pool_size=5, max_overflow=5)  # once a process",
                effect="keeps connections: one engine or pool a process, made at start-up, "
                "never in a request; no NullPool without PgBouncer in front",
                language="text",
            ),
        ),
        explains=("pool.server_full", "reach.full"),
        subjects=tuple(
            subject
            for session in newcomers
            for subject in (
                Subject(kind="pid", value=str(session.pid)),
                Subject(kind="application", value=session.holder),
            )
        ),
        measures=(measure,),
    )
