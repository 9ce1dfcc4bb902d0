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
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.newcomers import Newcomer, Newcomers, churn_of
from backend_doctor.backends.postgres.sessions import Session, Sessions


def _newcomers(sessions: Looks[Sessions] | None) -> list[Session]:
    """Sessions that were younger than the window when a look caught them."""
    if sessions is None:
        return []
    seen = {
        (s.pid, s.started_us): s for look in (sessions.first, sessions.last) for s in look.clients
    }
    return [s for s in seen.values() if s.backend_age < sessions.seconds]


def _names(newcomers: Newcomers | None, young: list[Session]) -> list[str]:
    groups = newcomers.groups if newcomers else ()
    return list(dict.fromkeys([*(one.holder for one in groups), *(s.holder for s in young)]))


def _who(newcomers: Newcomers | None, young: list[Session]) -> tuple[Newcomer, int] | None:
    """Who opened most of the sessions that were caught young, and how many were caught."""
    if newcomers is not None and newcomers.groups:
        return newcomers.groups[0], newcomers.total
    counts = Counter((s.application, s.user, s.client) for s in young)
    if not counts:
        return None
    (application, user, client), most = counts.most_common(1)[0]
    return Newcomer(sessions=most, application=application, user=user, client=client), len(young)


@check
def connection_churn(
    counters: Looks[Counters],
    sessions: Looks[Sessions] | None,
    newcomers: Newcomers | None,
    *,
    warning: float = 10.0,
    critical: float = 50.0,
) -> Iterator[Finding]:
    """Clients connect anew for nearly every query instead of keeping connections in a pool.

    Each connection costs the server a new process and a login. ``warning`` and ``critical``
    are sessions per second that were opened and did not last: a pool that grows keeps its own.
    """
    churn = churn_of(counters, sessions)
    opened, passed, rate = churn.opened, churn.passed, churn.rate
    own = counters.last.own_statements - counters.first.own_statements
    ended = max(0, counters.last.transactions - counters.first.transactions - own)
    each = ended / opened if opened else 0.0
    measure = Measure(
        name="new_sessions_per_second", value=round(rate, 2), warning=warning, critical=critical
    )
    if rate < warning:
        summary = f"{opened / counters.seconds:.1f} new sessions a second."
        yield Finding(status=Status.OK, summary=summary, measures=(measure,))
        return
    young = _newcomers(sessions)
    who = _who(newcomers, young)
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
    if who is not None:
        most, caught = who
        evidence.append(
            Evidence(
                key="application",
                value=most.holder,
                text=f"{most.sessions} of {caught} sessions caught while new were of {most.holder}"
                f", role {most.user}, from {most.client or 'a unix socket'}",
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
        subjects=(
            *(Subject(kind="pid", value=str(session.pid)) for session in young),
            *(Subject(kind="application", value=name) for name in _names(newcomers, young)),
        ),
        measures=(measure,),
    )
