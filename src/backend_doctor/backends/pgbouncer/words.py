"""What PgBouncer and libpq say when a login to the console fails, and the line that lets us in."""

from backend_doctor.facts import Problem

FAILURES: tuple[tuple[Problem, str], ...] = (
    (Problem.FULL, r"no more connections allowed|max_client_conn|too many clients"),
    (Problem.RIGHTS, r"^not allowed|console access|admin access needed"),
    (Problem.WRONG_PROTOCOL, r'database "pgbouncer" does not exist'),
    (Problem.WRONG_PROTOCOL, r"expected \w+ (request|response) from server|invalid response"),
    (
        Problem.LOGIN,
        r"authentication (failed|method)|auth failed|no such user|no password supplied"
        r"|login rejected|password|SASL|SCRAM|pg_hba\.conf|(user|role) .* does not exist",
    ),
    (Problem.TLS, r"\bSSL\b|\bTLS\b|certificate"),
    (Problem.STARTING, r"shutting down|starting up|suspended|not accepting"),
)
"""Problem by the first pattern, in either case, that its message holds."""


def allow(user: str) -> str:
    """The lines of pgbouncer.ini and of the console that let a user read the console."""
    name = user or "backend_doctor"
    return f"; in pgbouncer.ini, then RELOAD at the console\nstats_users = {name}"
