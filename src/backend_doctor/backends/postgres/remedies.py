"""Statements to hand to a person: quoted by rule, tied to what was seen, never run by us."""

import shlex
from collections.abc import Iterable, Sequence

from backend_doctor.backends.postgres.sessions import Session
from backend_doctor.backends.sql import quote_identifier, quote_literal
from backend_doctor.facts import Instance, target_name
from backend_doctor.model import Remedy, Step
from backend_doctor.text import safe_text

# stands before each command that builds an index; GIVES_UP tells what it does
GIVE_UP = "SET lock_timeout = '30s';\n"
GIVES_UP = (
    "It gives up after 30 s of waiting for old transactions and then leaves an invalid index: drop "
    "that with DROP INDEX CONCURRENTLY"
)

# a text of about 600 bytes may have been cut when it was read
_WHOLE = 500


def _wrapped(numbers: Iterable[int], width: int = 66) -> str:
    lines, line = [], ""
    for number in numbers:
        piece = f"{number}, "
        if len(line) + len(piece) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return "\n    ".join([*lines, line.rstrip(", ")])


def same_sessions(sessions: Sequence[Session], taken_at: str) -> str:
    """A condition on pg_stat_activity that is true only for these very sessions, and only
    while each still is in the state, and the stay in it, that was seen."""
    states = sorted({session.state for session in sessions})
    when = quote_literal(taken_at)
    return (
        f"pid IN ({_wrapped(session.pid for session in sessions)})\n"
        f"   AND backend_start <= {when}\n"
        f"   AND state IN ({', '.join(map(quote_literal, states))})\n"
        f"   AND state_change <= {when}"
    )


def end_sessions(sessions: Sequence[Session], taken_at: str, *, effect: str) -> Remedy:
    """Ends exactly these sessions, if they still are as they were seen."""
    return Remedy(
        step=Step.STOP,
        command="SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity\n"
        f" WHERE {same_sessions(sessions, taken_at)};",
        effect=effect,
        changes_state=True,
    )


def end_transaction(session: Session, taken_at: str, *, effect: str) -> Remedy:
    """Ends exactly this session while it is in the transaction that was seen, whether a
    statement runs or it is between two."""
    when = quote_literal(taken_at)
    return Remedy(
        step=Step.STOP,
        command="SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity\n"
        f" WHERE pid = {session.pid} AND backend_start <= {when}\n"
        f"   AND state IN ('active', 'idle in transaction') AND xact_start <= {when};",
        effect=effect,
        changes_state=True,
    )


def look_at_sessions(sessions: Sequence[Session], *, effect: str) -> Remedy:
    """Shows what these sessions do now."""
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT pid, application_name, state, state_change, left(query, 60) AS last_query\n"
        "  FROM pg_stat_activity\n"
        f" WHERE pid IN ({_wrapped(session.pid for session in sessions)});",
        effect=effect,
    )


def explain_slow(session: Session, instance: Instance | None = None) -> Remedy:
    """The plan of what a session runs, by our own command, to which the text goes as it is seen:
    with a ``?`` for each literal."""
    text = safe_text(session.query).strip()
    effect = "shows why it is slow; make it fast, or limit how many run at once"
    # of a session that is known by the title of its process only the first word is seen
    if " " not in text or len(text) >= _WHOLE:
        return Remedy(
            step=Step.CURE,
            command=f"SELECT query FROM pg_stat_activity WHERE pid = {session.pid};",
            effect='shows the whole statement; then backend-doctor query "..." ' + effect,
        )
    words = ["backend-doctor", "query", text]
    if instance is not None and not instance.adhoc:
        words += ["-t", target_name(instance.service, instance.backend, instance.name)]
    return Remedy(
        step=Step.CURE,
        command=shlex.join(words),
        effect=effect,
        language="sh",
    )


def limit_idle_transactions(role: str) -> Remedy:
    """Lets the server itself end such transactions of a role."""
    return Remedy(
        step=Step.PREVENT,
        command=f"ALTER ROLE {quote_identifier(role)} "
        "SET idle_in_transaction_session_timeout = '60s';",
        effect=f"new sessions of {role} lose a transaction that idles for a minute",
        changes_state=True,
    )


def who_holds_slots() -> Remedy:
    """Shows who holds the connections, and in what state."""
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT application_name, usename, client_addr, state, count(*)\n"
        "  FROM pg_stat_activity WHERE backend_type = 'client backend'\n"
        " GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC;",
        effect="shows who holds the connections, and in what state",
    )


def cancel_statement(session: Session, taken_at: str, *, effect: str) -> Remedy:
    """Cancels what one session runs, if it still is the statement that was seen."""
    return Remedy(
        step=Step.STOP,
        command="SELECT pid, pg_cancel_backend(pid) FROM pg_stat_activity\n"
        f" WHERE {same_sessions([session], taken_at)};",
        effect=effect,
        changes_state=True,
    )


def give_way_to_others() -> Remedy:
    """Keeps a schema change from making a queue."""
    return Remedy(
        step=Step.PREVENT,
        command="SET lock_timeout = '2s';   -- first in every migration, with a retry",
        effect="a schema change that cannot have its lock soon gives way to the others",
        changes_state=True,
    )


def lock_tree() -> Remedy:
    """Shows who waits for whom."""
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT pid, pg_blocking_pids(pid) AS blocked_by, application_name, state,\n"
        "       left(query, 60) AS query\n"
        "  FROM pg_stat_activity WHERE wait_event_type = 'Lock' ORDER BY query_start;",
        effect="shows whether they still wait",
    )


def who_locks(names: Iterable[str]) -> Remedy:
    """Shows who keeps all others from tables, by their names without schema."""
    tables = ", ".join(map(quote_literal, names))
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT pid, l.relation::regclass, l.granted, a.application_name, a.state\n"
        "  FROM pg_locks l JOIN pg_stat_activity a USING (pid)\n"
        "  JOIN pg_class c ON c.oid = l.relation\n"
        f" WHERE l.mode = 'AccessExclusiveLock' AND c.relname IN ({tables});",
        effect="shows who has locked them for itself alone, or waits to do so",
    )


def free_advisory_locks() -> Remedy:
    """Keeps an advisory lock from outliving the work that it guards."""
    return Remedy(
        step=Step.CURE,
        command="SELECT pg_advisory_xact_lock(...)   -- inside the transaction that does the work",
        effect="in the application: the lock ends with the transaction, also when the code "
        "raises; pg_advisory_lock needs its unlock in a finally block, on the same connection, "
        "and leaks behind a pooler in transaction mode",
        language="text",
    )


def old_transactions() -> Remedy:
    """Shows what an index that is built concurrently would have to wait for."""
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT pid, application_name, state, now() - xact_start AS open_for\n"
        "  FROM pg_stat_activity\n"
        " WHERE xact_start < now() - interval '1 minute' AND backend_type = 'client backend';",
        effect="shows old transactions: CREATE INDEX CONCURRENTLY waits for the end of each, so "
        "end leaks first",
    )


def grant_for(role: str) -> str:
    """What lets a role have plans, and statistics of columns, of all tables."""
    return f"GRANT pg_read_all_data TO {quote_identifier(role)};"
