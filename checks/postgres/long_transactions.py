from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from backend_doctor import (
    SEEN_BY_CLIENTS,
    Cause,
    Confidence,
    Each,
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
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.through import kept, with_clients
from backend_doctor.backends.postgres.horizon import Holder, Horizon
from backend_doctor.backends.postgres.horizon_remedies import (
    holder_subjects,
    look_at_holders,
    release,
)
from backend_doctor.backends.postgres.remedies import (
    cancel_statement,
    end_sessions,
    limit_idle_transactions,
    look_at_sessions,
)
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.transactions import (
    Turnover,
    family,
    held_while_turning,
    is_backup,
    is_maintenance,
    names,
    span,
)
from backend_doctor.backends.sql import quote_identifier

_WAITERS = (
    *("lock.idle_holder", "lock.long_transaction", "lock.hot_row"),
    *("lock.ddl_queue", "lock.advisory"),
)


def _age(session: Session) -> float:
    """Seconds of the transaction; what it waits for a lock right now is another's doing."""
    waits = (session.lock.seconds or 0.0) if session.lock else 0.0
    return (session.transaction_age or 0.0) - waits


def _holds(session: Session) -> str:
    locks = "1 lock" if session.locks == 1 else f"{session.locks} locks"
    held = [locks] if session.locks else []
    if session.has_xmin or session.has_xid:
        held.append("a snapshot, for which vacuum keeps old rows")
    return " and ".join(held) or "neither locks nor a snapshot"


def _subjects(sessions: Iterable[Session]) -> tuple[Subject, ...]:
    found = list(sessions)
    return (
        *(Subject(kind="pid", value=str(session.pid)) for session in found),
        *(Subject(kind="application", value=name) for name in names(found)),
    )


def _long(group: Sequence[Session], sessions: Sessions, critical_seconds: float) -> Finding:
    oldest, count = group[0], len(group)
    holds = any(s.locks or s.has_xmin or s.has_xid for s in group)
    idle = oldest.idle_in_transaction
    doing = "waits for its client" if idle else "is at work"
    effect = (
        f"ends {'1 session' if count == 1 else f'{count} sessions'} of {oldest.holder}, if still "
        "idle; what was not committed is rolled back"
    )
    stop = (
        end_sessions(group, sessions.taken_at, effect=effect)
        if idle
        else cancel_statement(
            oldest,
            sessions.taken_at,
            effect=f"cancels what the oldest runs, one session of {oldest.holder}: only if it "
            "is not wanted, its work so far is lost",
        )
    )
    prevent = limit_idle_transactions(oldest.user)
    if not idle:
        prevent = Remedy(
            step=Step.PREVENT,
            command=f"ALTER ROLE {quote_identifier(oldest.user)} SET statement_timeout = '5min';",
            effect="new sessions of the role cannot run one statement for longer; work in "
            "batches, each its own transaction, and read reports from a replica",
            changes_state=True,
        )
    return Finding(
        status=Status.CRITICAL if holds and _age(oldest) >= critical_seconds else Status.WARNING,
        summary=f"{'1 transaction' if count == 1 else f'{count} transactions'} of "
        f"{oldest.holder} open for {span(_age(oldest))}; it {doing} and holds {_holds(oldest)}.",
        evidence=tuple(
            Evidence(
                key="transaction_seconds" if number == 0 else f"transaction_seconds_{number}",
                value=round(session.transaction_age or 0.0, 1),
                text=f"pid {session.pid} of {session.holder}, role {session.user}, "
                f"{session.state}, {span(_age(session))} in its transaction, holds "
                f"{_holds(session)}: {' '.join(session.query.split()) or '(nothing)'}",
                source="pg_stat_activity.xact_start, pg_locks",
            )
            for number, session in enumerate(group[:3])
        ),
        cause=Cause(
            label="tx.long_running",
            confidence=Confidence.CERTAIN,
            because=f"pid {oldest.pid} began its transaction {span(_age(oldest))} ago and "
            + ("does nothing in it now" if idle else "has not ended it"),
        ),
        remedies=(
            stop,
            look_at_sessions(group, effect="shows whether it goes on, and with what"),
            prevent,
        ),
        subjects=_subjects(group),
    )


def _external(group: Turnover, taken_at: Sessions) -> Finding:
    seen, first = group.sessions, group.sessions[0]
    who = ", ".join(names(seen)[:3])
    locks = sum(s.locks > 0 for s in seen)
    return Finding(
        status=Status.WARNING,
        summary=f"{len(seen)} transactions of {who} stand open at once and wait for something "
        "outside the database.",
        evidence=(
            Evidence(
                key="transactions_held",
                value=len(seen),
                text=f"{len(seen)} sessions of {who}, role {first.user}, are idle in transaction; "
                f"{len(group.gone)} of the first look have ended, {len(group.come)} have begun",
                source="pg_stat_activity.state, xact_start",
            ),
            Evidence(
                key="idle_seconds",
                value=round(group.idle_seconds, 2),
                text=f"they had idled for {group.idle_seconds:.1f} s on average when they were "
                "seen, half of the whole",
                source="pg_stat_activity.state_change",
            ),
            Evidence(
                key="application",
                value=first.application,
                text=f"{locks} of them hold locks meanwhile; before the wait they ran: "
                f"{' '.join(first.query.split()) or '(nothing)'}",
                source="pg_stat_activity.query",
            ),
        ),
        cause=Cause(
            label="tx.external_call_held",
            confidence=Confidence.LIKELY,
            because=f"{who} begins a transaction, waits for something else (a call to another "
            "service, a message, a sleep, a second connection) and only then ends it: other "
            "transactions stand so in each look, so none is forgotten",
        ),
        remedies=(
            look_at_sessions(seen, effect=f"at {taken_at.taken_at} they idled; others do now"),
            Remedy(
                step=Step.CURE,
                command="read, COMMIT, call the other service, then BEGIN a second transaction "
                "that writes",
                effect=f"in {who}: no connection, lock or snapshot is held during the call; give "
                "the call a timeout of its own",
                language="text",
            ),
            limit_idle_transactions(first.user),
        ),
        explains=(
            *("pool.server_full", "reach.full", "tx.long_running", *_WAITERS),
            *("bloat.vacuum_blocked_by_xmin", *SEEN_BY_CLIENTS),
        ),
        subjects=_subjects((*seen, *group.gone)),
    )


def _prepared(holder: Holder, critical_seconds: float) -> Finding:
    age = holder.seconds or 0.0
    return Finding(
        status=Status.CRITICAL if age >= critical_seconds else Status.WARNING,
        summary=f"A prepared transaction of {holder.user} has waited {span(age)} for its end.",
        evidence=(
            Evidence(
                key="prepared_seconds",
                value=round(age, 1),
                text=f"{holder.text}, in database {holder.database}, keeps its locks and the "
                f"xmin horizon ({holder.xids or 0} transactions), over a restart too",
                source="pg_prepared_xacts",
            ),
        ),
        cause=Cause(
            label="tx.prepared_forgotten",
            confidence=Confidence.CERTAIN,
            because="PREPARE TRANSACTION was not followed by COMMIT PREPARED or ROLLBACK PREPARED; "
            "no session owns it, so nothing ends it",
        ),
        remedies=(
            release(holder, None),
            look_at_holders(),
            Remedy(
                step=Step.PREVENT,
                command="SELECT gid, owner, prepared FROM pg_prepared_xacts\n"
                " WHERE prepared < now() - interval '5 minutes';",
                effect="watch it: a transaction manager has to resolve its own when it starts; "
                "without one, nothing should use PREPARE TRANSACTION",
            ),
        ),
        explains=_WAITERS,
        subjects=tuple(holder_subjects(holder)),
    )


def _by_owner(sessions: Sessions, seconds: float) -> tuple[list[list[Session]], list[str]]:
    """Old transactions by application, role, and whether they idle; and those that may be old."""
    groups: dict[tuple[str, str, bool], list[Session]] = defaultdict(list)
    exempt = []
    for session in sorted(sessions.clients, key=_age, reverse=True):
        if _age(session) < seconds:
            break
        if is_backup(session.application) or is_maintenance(session):
            exempt.append(f"pid {session.pid} of {session.holder}: {span(_age(session))}, as meant")
        else:
            key = (family(session), session.user, session.idle_in_transaction)
            groups[key].append(session)
    return list(groups.values()), exempt


@check
def long_transactions(
    now: Sessions,
    looks: Looks[Sessions] | None,
    horizon: Horizon | None,
    clients: Each[Clients],
    servers: Each[Servers],
    *,
    warning_seconds: float = 60.0,
    critical_seconds: float = 600.0,
    held_transactions: int = 3,
    held_idle_seconds: float = 0.5,
    prepared_seconds: float = 300.0,
    prepared_critical_seconds: float = 3600.0,
) -> Iterator[Finding]:
    """Transactions stay open for too long, and what they hold keeps others waiting.

    Of client sessions; backups and maintenance commands are left out, and critical are only
    those that hold something. ``held_transactions`` of one application that had idled for
    ``held_idle_seconds`` on average when they were seen, others in each look, wait for something
    outside of the database.
    """
    sessions = looks or Looks(now, now, 0.0)
    groups, exempt = _by_owner(sessions.last, warning_seconds)
    held = held_while_turning(sessions, at_once=held_transactions, idle_seconds=held_idle_seconds)
    prepared = [
        holder
        for holder in (horizon.of("prepared") if horizon else ())
        if (holder.seconds or 0.0) >= prepared_seconds
    ]
    found = [
        *(_external(group, sessions.last) for group in held),
        *(
            with_clients(
                _long(group, sessions.last, critical_seconds),
                kept(group, sessions),
                clients,
                servers,
            )
            for group in groups[:5]
        ),
        *(_prepared(holder, prepared_critical_seconds) for holder in prepared[:5]),
    ]
    oldest = max((s.transaction_age or 0.0 for s in sessions.last.clients), default=0.0)
    measure = Measure(name="oldest_transaction_seconds", value=round(oldest, 1), unit="s")
    if not found:
        summary = f"The oldest transaction is {span(oldest)} old."
        found = [Finding(status=Status.OK, summary=summary)]
    yield msgspec.structs.replace(found[0], measures=(measure,), notes=tuple(exempt[:5]))
    yield from found[1:]
