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
from backend_doctor.backends.postgres.locks import Jam, jams
from backend_doctor.backends.postgres.remedies import cancel_statement, end_sessions, lock_tree
from backend_doctor.backends.postgres.sessions import Session, Sessions


def _moved(jam: Jam, sessions: Looks[Sessions]) -> bool:
    """Whether the head's transaction is younger than the first look: the queue turns over."""
    before = sessions.first.by_pid().get(jam.head_pid)
    return (
        jam.head is not None
        and jam.head.transaction_us is not None
        and (before is None or before.transaction_us != jam.head.transaction_us)
    )


def _row_queue(jam: Jam, sessions: Looks[Sessions]) -> tuple[str, int]:
    """(table, sessions that queued for one row of it in the first look)."""
    row = jam.row_waiters[0].lock if jam.row_waiters else None
    table = (row.relation or "") if row else ""
    earlier = [
        s for s in sessions.first.sessions if s.lock and s.lock.row and s.lock.relation == table
    ]
    return table, len(earlier) if table else 0


def _cause(jam: Jam, sessions: Looks[Sessions], least: int) -> Cause | None:
    """Which kind of jam it is, or None for one that goes by."""
    head, ddl = jam.head, jam.ddl
    doing = head.state if head else "prepared"
    if ddl is not None or (head is not None and _holds_table(head, jam)):
        return Cause(
            label="lock.ddl_queue",
            confidence=Confidence.CERTAIN,
            because=f"pid {jam.head_pid} ({doing}) keeps its lock, the schema change waits for it, "
            "and everyone after waits for the schema change"
            if ddl
            else f"pid {jam.head_pid} changes the schema and holds the whole table meanwhile",
        )
    table, earlier = _row_queue(jam, sessions)
    if _moved(jam, sessions):
        if min(len(jam.row_waiters), earlier) < least:
            return None
        return Cause(
            label="lock.hot_row",
            confidence=Confidence.CERTAIN,
            because=f"transactions take turns on one row of {table}: each waits for all before it",
        )
    idle = head is None or head.idle_in_transaction
    return Cause(
        label="lock.idle_holder" if idle else "lock.long_transaction",
        confidence=Confidence.CERTAIN,
        because=f"pid {jam.head_pid} ({doing}) has held its lock through both looks"
        + (" and does nothing meanwhile" if idle else ""),
    )


def _holds_table(head: Session, jam: Jam) -> bool:
    """A running statement behind which readers of a whole table wait, is a schema change."""
    return head.state == "active" and any(
        w.lock is not None and w.lock.type == "relation" and w.lock.mode == "AccessShareLock"
        for w in jam.waiters
    )


def _evidence(jam: Jam) -> Iterator[Evidence]:
    head, source = jam.head, "pg_stat_activity, pg_locks, pg_blocking_pids"
    if head is not None:
        age = (
            f", in its transaction for {head.transaction_age:.1f} s" if head.transaction_age else ""
        )
        yield Evidence(
            key="head_blocker_pid",
            value=head.pid,
            text=f"the head blocker is pid {head.pid}, {head.holder}, role {head.user}, "
            f"{head.state}{age}: {' '.join(head.query.split())}",
            source=source,
        )
    yield Evidence(
        key="waiting_sessions",
        value=len(jam.waiters),
        text=f"{len(jam.waiters)} sessions wait behind it, the longest for {jam.longest:.1f} s",
        source=source,
    )
    if jam.ddl is not None and jam.ddl.lock is not None:
        yield Evidence(
            key="waiting_ddl_pid",
            value=jam.ddl.pid,
            text=f"pid {jam.ddl.pid} waits for {jam.ddl.lock.mode} on {jam.ddl.lock.relation}: "
            f"{' '.join(jam.ddl.query.split())}",
            source=source,
        )
    elif jam.row_waiters and (lock := jam.row_waiters[0].lock) and lock.row:
        yield Evidence(
            key="contended_table",
            value=lock.row[0],
            text=f"{len(jam.row_waiters)} of them want one row of {lock.row[0]}",
            source=source,
        )
    for number, line in enumerate(jam.tree()):
        yield Evidence(key=f"tree_{number}", value=line, text=line)


def _remedies(jam: Jam, label: str, taken_at: str) -> tuple[Remedy, ...]:
    count, found = len(jam.waiters), []
    if label == "lock.hot_row":
        found.append(
            Remedy(
                step=Step.CURE,
                command="INSERT a row per event and sum them up later, or spread the counter over "
                "several rows;\nelse update that row last in the transaction, just before COMMIT",
                effect="shortens or removes the turn that everyone waits for",
                language="text",
            )
        )
    elif jam.ddl is not None:
        found.append(
            cancel_statement(
                jam.ddl,
                taken_at,
                effect=f"cancels the waiting schema change: the {count - 1} sessions behind it go "
                "on; run it again later with a lock_timeout",
            )
        )
    if label != "lock.hot_row" and jam.head is not None:
        found.append(
            end_sessions(
                [jam.head],
                taken_at,
                effect=f"ends the head blocker, {jam.head.holder}; its transaction is rolled back "
                f"and {count} sessions go on",
            )
        )
    prevent = "SET lock_timeout = '2s';   -- in every migration, with a retry"
    effect = (
        "a schema change that cannot have its lock soon gives way instead of being queued behind"
    )
    if label == "lock.ddl_queue":
        found.append(Remedy(step=Step.PREVENT, command=prevent, effect=effect, changes_state=True))
    return (*found, lock_tree())


@check
def lock_waits(
    sessions: Looks[Sessions],
    *,
    warning_seconds: float = 1.0,
    critical_seconds: float = 30.0,
    critical_waiters: int = 5,
    hot_row_waiters: int = 3,
) -> Iterator[Finding]:
    """Sessions wait for locks: names the head blocker, not those who merely wait in line.

    Judged from waits that last ``warning_seconds``, or a row for which ``hot_row_waiters``
    queue in both looks; critical from ``critical_seconds`` or ``critical_waiters`` on.
    """
    waiting = [s for s in sessions.last.sessions if s.blocked_by]
    measure = Measure(name="sessions_waiting_for_locks", value=len(waiting))
    reported = 0
    for jam in jams(sessions.last):
        cause = _cause(jam, sessions, hot_row_waiters)
        if cause is None or (cause.label != "lock.hot_row" and jam.longest < warning_seconds):
            continue
        reported += 1
        count = len(jam.waiters)
        critical = jam.longest >= critical_seconds or count >= critical_waiters
        who = f"pid {jam.head_pid}" + (f" of {jam.head.holder}" if jam.head else "")
        what = f"a row that {who} holds now" if cause.label == "lock.hot_row" else who
        yield Finding(
            status=Status.CRITICAL if critical else Status.WARNING,
            summary=f"{count} session{'s' * (count > 1)} wait{'s' * (count == 1)} behind {what}, "
            f"for {jam.longest:.1f} s at most.",
            evidence=tuple(_evidence(jam)),
            cause=cause,
            remedies=_remedies(jam, cause.label, sessions.last.taken_at),
            explains=("pool.blocked_sessions", "pool.server_full", "query.pileup", "reach.full"),
            subjects=tuple(
                Subject(kind="pid", value=str(pid))
                for pid in (jam.head_pid, *(waiter.pid for waiter in jam.waiters))
            ),
            measures=(measure,) if reported == 1 else (),
        )
    if not reported:
        summary = f"{len(waiting)} sessions wait for a lock, none for long."
        yield Finding(status=Status.OK, summary=summary, measures=(measure,))
