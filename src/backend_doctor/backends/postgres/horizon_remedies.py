"""How to let go of old row versions: first whoever holds them, then the look, then VACUUM."""

from collections.abc import Iterable

from backend_doctor.backends.postgres.horizon import Holder, held_by
from backend_doctor.backends.postgres.remedies import cancel_statement, end_sessions
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.table_activity import Maintained
from backend_doctor.backends.sql import quote_literal
from backend_doctor.model import Remedy, Step, Subject


def release(holder: Holder, sessions: Sessions | None) -> Remedy:
    """Makes one holder let go; a backup, a standby or a slot in use is not ended but looked at."""
    if holder.kind == "session":
        return _release_session(holder, sessions)
    if holder.kind == "prepared":
        return Remedy(
            step=Step.STOP,
            command=f"ROLLBACK PREPARED {quote_literal(holder.name)};"
            f"   -- in database {' '.join(holder.database.split())}",
            effect="undoes that one transaction for good; ask its transaction manager first: if "
            "the other side has committed, it must be COMMIT PREPARED",
            changes_state=True,
        )
    if holder.kind == "slot" and not holder.active:
        return Remedy(
            step=Step.STOP,
            command="SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots\n"
            f" WHERE slot_name = {quote_literal(holder.name)} AND NOT active;",
            effect="the slot's consumer loses its place and has to be set up anew: start the "
            "consumer instead if it still exists",
            changes_state=True,
        )
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT pid, application_name, state, xact_start, age(backend_xmin)\n"
        "  FROM pg_stat_activity WHERE backend_xmin IS NOT NULL\n"
        " ORDER BY age(backend_xmin) DESC LIMIT 5;   -- on the standby",
        effect="shows which query of the standby holds the primary back; end it there",
    )


def _release_session(holder: Holder, sessions: Sessions | None) -> Remedy:
    session = next(iter(held_by([holder], sessions)), None)
    if sessions is None or session is None or holder.backup:
        return Remedy(
            step=Step.CONFIRM,
            command="SELECT pid, application_name, state, xact_start, left(query, 60) AS query\n"
            f"  FROM pg_stat_activity WHERE pid = {holder.pid or 0};",
            effect="shows whether it still runs; let a backup end by itself",
        )
    gone = "its transaction is rolled back, and old rows can go"
    if session.state == "active":
        effect = f"cancels what one session of {session.holder} runs: {gone}"
        return cancel_statement(session, sessions.taken_at, effect=effect)
    effect = f"ends one session of {session.holder}, if it still idles: {gone}"
    return end_sessions([session], sessions.taken_at, effect=effect)


def look_at_holders() -> Remedy:
    """Shows who holds the horizon now."""
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT pid::text AS who, application_name AS name, state,\n"
        "       greatest(age(backend_xmin), age(backend_xid)) AS xids FROM pg_stat_activity\n"
        " WHERE backend_xmin IS NOT NULL OR backend_xid IS NOT NULL\n"
        "UNION ALL SELECT 'prepared', gid, database::text, age(transaction)\n"
        "  FROM pg_prepared_xacts\n"
        "UNION ALL SELECT 'slot', slot_name, active::text,\n"
        "       greatest(age(xmin), age(catalog_xmin)) FROM pg_replication_slots\n"
        " ORDER BY 4 DESC NULLS LAST LIMIT 10;",
        effect="shows who is left: VACUUM removes nothing until the old ones are gone",
    )


def vacuum(tables: Iterable[Maintained]) -> Remedy:
    """Removes the dead rows of some tables now."""
    return Remedy(
        step=Step.CURE,
        command="\n".join(f"VACUUM (VERBOSE, ANALYZE) {table.quoted};" for table in tables),
        effect="makes the room of dead rows usable again without shutting anyone out; its output "
        "says how many dead rows could not be removed yet",
        changes_state=True,
    )


def holder_subjects(holder: Holder) -> Iterable[Subject]:
    """What a finding on this holder shares with others."""
    if holder.kind == "session":
        yield Subject(kind="pid", value=str(holder.pid or 0))
        yield Subject(kind="application", value=holder.name or f"{holder.user}@{holder.client}")
    else:
        yield Subject(kind=holder.kind, value=holder.name or holder.client or "unnamed")
