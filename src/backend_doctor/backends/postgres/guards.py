"""What guards our sessions: read-only, short, never long in a queue."""

from backend_doctor.backends.sql import quote_literal

# milliseconds; lock_timeout keeps us from ever standing in a lock queue that others join; with
# many tables the estimates make the server compile our statements for seconds, to run for moments
_GUARDS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "2000",
    "lock_timeout": "200",
    "idle_in_transaction_session_timeout": "5000",
    "search_path": "pg_catalog",
    "jit": "off",
}
LOCAL = {
    name: quote_literal(value)
    for name, value in _GUARDS.items()
    if name != "default_transaction_read_only"
}
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
GUARD_SESSION = "SELECT " + ", ".join(
    f"pg_catalog.set_config('{name}', '{value}', false)" for name, value in _GUARDS.items()
)
