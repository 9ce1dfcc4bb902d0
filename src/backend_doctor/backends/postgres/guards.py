"""What guards our sessions: read-only, short, never long in a queue."""

from backend_doctor.backends.sql import quote_literal

# milliseconds; lock_timeout keeps us from ever standing in a lock queue that others join; with
# many tables the estimates make the server compile our statements for seconds, to run for moments;
# our joins are written in the order in which they are cheap, and the search for another took an
# eighth of the server's time for us
_GUARDS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "2000",
    "lock_timeout": "200",
    "idle_in_transaction_session_timeout": "5000",
    "search_path": "pg_catalog",
    "jit": "off",
    "join_collapse_limit": "1",
}
_LOCAL = {
    name: quote_literal(value)
    for name, value in _GUARDS.items()
    if name != "default_transaction_read_only"
}
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"


def begin_guarded(**settings: str) -> str:
    """One message that begins a transaction with the guards and these settings, values as SQL."""
    local = {**_LOCAL, **settings}.items()
    return "; ".join([BEGIN, *(f"SET LOCAL {name} = {value}" for name, value in local)])


# behind a pooler, where another process answers than the one that let us in ($1), what is set
# ends with the transaction
GUARD_SESSION = "SELECT pg_catalog.pg_backend_pid() AS pid, " + ", ".join(
    f"pg_catalog.set_config('{name}', '{value}', pg_catalog.pg_backend_pid() <> $1)"
    for name, value in _GUARDS.items()
)
