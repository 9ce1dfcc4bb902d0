from collections.abc import Iterator, Sequence

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
from backend_doctor.backends.postgres.horizon_remedies import holder_subjects, release
from backend_doctor.backends.postgres.locks import Jam, hot_row, jams, turns_over
from backend_doctor.backends.postgres.remedies import (
    cancel_statement,
    end_sessions,
    end_transaction,
    free_advisory_locks,
    give_way_to_others,
    lock_tree,
)
from backend_doctor.backends.postgres.sessions import Sessions

_PREPARED = "pg_prepared_xacts, pg_locks"
_SOURCE = "pg_stat_activity, pg_locks, pg_blocking_pids"
_UNTIL = {
    "session": "it is held by the session: only pg_advisory_unlock there, or its end, frees it",
    "transaction": "it is held by the transaction, and freed at its end",
    "either": "the end of its transaction frees it, unless pg_advisory_lock took it: then the "
    "session keeps it",
}
_EXPLAINS = (
    "pool.blocked_sessions",
    "pool.server_full",
    "query.pileup",
    "reach.full",
    "tx.long_running",
    *SEEN_BY_CLIENTS,
)


def _key(jam: Jam) -> str:
    lock = jam.advisory[0].lock
    return lock.advisory if lock else ""


def _advisory(jam: Jam) -> Iterator[Evidence]:
    lock = jam.advisory[0].lock
    key = "/".join((lock.key or "").split("/")[:2]) if lock else ""
    count = len(jam.advisory)
    want = f"{count} of them {'wants' if count == 1 else 'want'} its advisory lock"
    text = f"{want} {_key(jam)} (classid/objid {key})"
    yield Evidence(key="advisory_key", value=key, text=text, source="pg_locks")
    level = jam.advisory_level
    yield Evidence(key="advisory_level", value=level, text=_UNTIL[level], source=_SOURCE)


def _cause(jam: Jam, idle_seconds: float) -> Cause:
    """What kind of jam it is that has stood still."""
    doing = jam.head.state if jam.head else "without a session"
    label, because = (
        "lock.long_transaction",
        f"{_head(jam)} works in one transaction and keeps its locks until the end",
    )
    if jam.advisory:
        label, because = (
            "lock.advisory",
            f"{_head(jam)} ({doing}) took the application's own lock {_key(jam)} and keeps "
            f"it; {_UNTIL[jam.advisory_level]}",
        )
    elif jam.ddl is not None:
        label, because = (
            "lock.ddl_queue",
            f"{_head(jam)} ({doing}) keeps its lock, the schema change of pid "
            f"{jam.ddl.pid} waits for it, and everyone after waits for the schema change",
        )
    elif jam.table_is_held:
        label, because = (
            "lock.ddl_queue",
            f"{_head(jam)} ({doing}) changes the schema and shuts all others out meanwhile",
        )
    elif jam.head is None or (
        jam.head.idle_in_transaction and (jam.head.state_age or 0.0) >= idle_seconds
    ):
        label, because = (
            "lock.idle_holder",
            f"{_head(jam)} ({doing}) holds its locks and does nothing meanwhile",
        )
    return Cause(label=label, confidence=Confidence.CERTAIN, because=because)


def _head(jam: Jam) -> str:
    if jam.head is None:
        return " and ".join(f"prepared transaction {gid}".strip() for gid in jam.prepared or ("",))
    return f"pid {jam.head_pid}"


def _evidence(jam: Jam, prepared: Sequence[Holder]) -> Iterator[Evidence]:
    head, count = jam.head, len(jam.waiters)
    for holder in prepared:
        text = f"the head blocker is {holder.text}, in database {holder.database}"
        yield Evidence(key="holder_prepared", value=holder.name, text=text, source=_PREPARED)
    if head is not None:
        age = f", {head.transaction_age:.1f} s in its transaction" if head.transaction_age else ""
        text = f"the head blocker is pid {head.pid}, role {head.user}{age}"
        yield Evidence(key="head_blocker_pid", value=head.pid, text=text, source=_SOURCE)
    wait = "1 session waits" if count == 1 else f"{count} sessions wait"
    text = f"{wait} behind it, the longest for {jam.longest:.1f} s"
    yield Evidence(key="waiting_sessions", value=count, text=text, source=_SOURCE, repeats=True)
    if jam.ddl is not None:
        text = f"pid {jam.ddl.pid} wants to change the schema: {' '.join(jam.ddl.query.split())}"
        yield Evidence(key="waiting_ddl_pid", value=jam.ddl.pid, text=text, source=_SOURCE)
    elif jam.advisory:
        yield from _advisory(jam)
    elif len(jam.row_queue) > 1:
        oldest = max(waiter.transaction_age or 0.0 for waiter in jam.row_queue)
        text = (
            f"{len(jam.row_queue)} of them run the same statement, their transactions up to "
            f"{oldest:.1f} s old: {' '.join(jam.row_queue[0].query.split())}"
        )
        yield Evidence(key="sessions_at_one_row", value=len(jam.row_queue), text=text)
    if jam.row_table:
        text = f"they wait for a row of {jam.row_table}"
        yield Evidence(
            key="contended_table",
            value=jam.row_table,
            text=text,
            source="pg_locks",
            repeats=not jam.advisory,
        )
    for number, line in enumerate(jam.lines()):
        yield Evidence(key=f"tree_{number}", value=line, text=line, source=_SOURCE)


def _remedies(jam: Jam, label: str, taken_at: str, prepared: Sequence[Holder]) -> Iterator[Remedy]:
    yield lock_tree()
    if label == "lock.hot_row":
        yield Remedy(
            step=Step.CURE,
            command="insert one row an event and sum up later, or spread the counter over several "
            "rows; else make that UPDATE the last statement before COMMIT",
            effect="removes, or shortens, the turn for which everyone waits",
            language="text",
        )
        return
    if jam.ddl is not None:
        effect = (
            "cancels the waiting schema change: those behind it "
            f"({len(jam.waiters) - 1}) go on at once; run it again later with a lock_timeout"
        )
        yield cancel_statement(jam.ddl, taken_at, effect=effect)
    if jam.head is not None:
        effect = (
            f"ends the head blocker, one session of {jam.head.holder}; its transaction is rolled "
            f"back, and those that wait ({len(jam.waiters)}) go on"
        )
        if label == "lock.long_transaction":
            yield end_transaction(jam.head, taken_at, effect=effect)
        else:
            yield end_sessions([jam.head], taken_at, effect=effect)
    yield from (release(holder, None) for holder in prepared)
    if label == "lock.ddl_queue":
        yield give_way_to_others()
    if label == "lock.advisory":
        yield free_advisory_locks()


def _finding(
    jam: Jam, cause: Cause, status: Status, taken_at: str, prepared: Sequence[Holder] = ()
) -> Finding:
    count, head = len(jam.waiters), jam.head
    who = f"{_head(jam)}{f' of {head.holder}' if head else ''}"
    where = f" for a row of {jam.row_table}" if jam.row_table else ""
    where = f" for advisory lock {_key(jam)}" if jam.advisory else where
    waits = "1 session waits" if count == 1 else f"{count} sessions wait"
    return Finding(
        status=status,
        summary=f"{waits}{where} behind {who}, for {jam.longest:.1f} s at most."
        if cause.label != "lock.hot_row"
        else f"{waits}{where or ' for one row'}, each for all before it; {who} has its turn.",
        evidence=tuple(_evidence(jam, prepared)),
        cause=cause,
        remedies=tuple(_remedies(jam, cause.label, taken_at, prepared)),
        explains=_EXPLAINS,
        subjects=(
            *(
                Subject(kind="pid", value=str(pid))
                for pid in (jam.head_pid, *(waiter.pid for waiter in jam.waiters))
                if pid
            ),
            *(
                Subject(kind="application", value=name)
                for name in dict.fromkeys(waiter.holder for waiter in jam.waiters)
            ),
            *(subject for holder in prepared for subject in holder_subjects(holder)),
        ),
    )


def _standby(jam: Jam) -> str:
    return (
        f"{len(jam.waiters)} of {jam.waiters[0].holder} wait for advisory lock {_key(jam)}, which "
        f"pid {jam.head_pid} of the same application holds: a leader and its standbys look so"
    )


@check
def lock_waits(
    now: Sessions,
    looks: Looks[Sessions] | None,
    horizon: Horizon | None,
    clients: Each[Clients],
    servers: Each[Servers],
    *,
    warning_seconds: float = 3.0,
    critical_seconds: float = 30.0,
    critical_waiters: int = 5,
    hot_row_waiters: int = 3,
    advisory_waiters: int = 3,
    idle_seconds: float = 1.0,
) -> Iterator[Finding]:
    """Sessions wait for locks: names the head blocker, not those who merely wait in line.

    Judged from waits that last ``warning_seconds``, and from a row for which
    ``hot_row_waiters`` queue while its holder changes, which takes two looks to see. Critical
    from ``critical_seconds`` or ``critical_waiters`` on. Up to ``advisory_waiters`` that wait
    for an advisory lock of their own application may be standbys of a leader. A head that idles
    in its transaction for less than ``idle_seconds`` is between two statements.
    """
    sessions = looks or Looks(now, now, 0.0)

    def status(jam: Jam) -> Status:
        long = jam.longest >= critical_seconds
        return Status.CRITICAL if long or len(jam.waiters) >= critical_waiters else Status.WARNING

    found: list[Finding] = []
    notes: list[str] = []
    hot = hot_row(sessions, hot_row_waiters)
    if hot is not None:
        because = (
            f"transactions that change one row{' of ' * bool(hot.row_table)}{hot.row_table} take "
            "turns: each keeps the row until its COMMIT, and the next holder is another"
        )
        cause = Cause(label="lock.hot_row", confidence=Confidence.CERTAIN, because=because)
        found.append(_finding(hot, cause, status(hot), sessions.last.taken_at))
    for jam in jams(sessions.last):
        stands = jam.ddl is not None or not (hot and turns_over(jam, sessions.first))
        if jam.advisory and jam.own_kind and len(jam.waiters) < advisory_waiters:
            notes.append(_standby(jam))
        elif jam.longest >= warning_seconds and stands:
            known = horizon.of("prepared") if horizon else ()
            prepared = [holder for holder in known if holder.name in jam.prepared]
            stuck = _finding(
                jam, _cause(jam, idle_seconds), status(jam), sessions.last.taken_at, prepared
            )
            head = kept([jam.head] if jam.head else [], looks)
            found.append(with_clients(stuck, head, clients, servers))
    waiting = sum(bool(session.blocked_by) for session in sessions.last.sessions)
    measure = Measure(name="sessions_waiting_for_locks", value=waiting)
    if not found:
        who = "1 session waits" if waiting == 1 else f"{waiting} sessions wait"
        summary = f"{who} for a lock, {'but not' if waiting == 1 else 'none'} for long."
        found = [Finding(status=Status.OK, summary=summary)]
    yield msgspec.structs.replace(found[0], measures=(measure,), notes=tuple(notes))
    yield from found[1:]
