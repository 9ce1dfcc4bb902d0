"""Commands to hand to a person: quoted by rule, never run by us."""

import re
from collections.abc import Sequence
from shlex import quote

from backend_doctor.backends.byhand import by_hand
from backend_doctor.backends.pgbouncer.pools import Pool
from backend_doctor.backends.pgbouncer.settings import Database, Settings
from backend_doctor.backends.postgres.remedies import (
    end_sessions,
    limit_idle_transactions,
    look_at_sessions,
)
from backend_doctor.backends.postgres.sessions import Session
from backend_doctor.facts import Instance
from backend_doctor.model import Remedy, Step

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def console(instance: Instance) -> str:
    """psql at this PgBouncer's console."""
    user = f" -U {quote(instance.user)}" if instance.user else ""
    return f"psql -h {quote(instance.host)} -p {instance.port}{user} -d pgbouncer"


def show(instance: Instance, what: str, effect: str) -> Remedy:
    """One look at the console."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"{console(instance)} -c 'SHOW {what}'",
        effect=effect,
        language="sh",
    )


def quoted(name: str) -> str:
    """A name as the console reads it."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def resume(database: str) -> Remedy:
    """Ends a PAUSE."""
    return by_hand(
        Step.STOP,
        f"RESUME {quoted(database)};   -- at the console, as one of admin_users",
        effect="lets the waiting clients go on; ask first who paused it, and whether the work for "
        "which it was paused is done",
    )


def larger_pool(database: Database, settings: Settings | None, active: int, more: int) -> Remedy:
    """``more`` connections for a pool that uses ``active``, by raising each limit that is in the
    way, in the file that a restart reads too."""
    own = (database.pool_size, database.max_connections)
    default = settings is not None and own == (settings.pool_size, settings.max_db_connections)
    limits = (
        ("default_pool_size" if default else "pool_size", database.pool_size, active),
        ("max_db_connections", database.max_connections, max(active, database.connections)),
    )
    setting = ", ".join(
        f"{name} = {used + more}" for name, most, used in limits if 0 < most < used + more
    )
    place = "in [pgbouncer]" if default else f"in the line of {database.name} in [databases]"
    return by_hand(
        Step.CURE,
        f"{setting}   ; {place} of pgbouncer.ini, then RELOAD at the console",
        effect=f"lets the pool open {more} more connections, for which PostgreSQL has room; "
        "no client is disconnected",
    )


def shorter_transactions() -> Remedy:
    """What lets few connections serve many."""
    return Remedy(
        step=Step.PREVENT,
        command="COMMIT before calling anything outside of the database; no think time between "
        "BEGIN and COMMIT",
        effect="a server connection is taken for as long as a transaction is open",
        language="text",
    )


def end_leak(sessions: Sequence[Session], taken_at: str, who: str) -> tuple[Remedy, ...]:
    """Ends exactly these sessions while they idle, and keeps others from leaking."""
    effect = f"ends {len(sessions)} sessions of {who}, if they still idle; who waits goes on"
    return (
        end_sessions(sessions, taken_at, effect=effect),
        look_at_sessions(sessions, effect="shows whether they still idle"),
        Remedy(
            step=Step.CURE,
            command="async with session.begin():   # or: async with pool.acquire() as connection:",
            effect=f"in {who}: a context manager ends the transaction on every path",
            language="text",
        ),
        limit_idle_transactions(sessions[0].user),
    )


def transaction_mode(pool: Pool, database: Database | None, settings: Settings | None) -> Remedy:
    """Many clients on few connections, said where the mode of this pool comes from."""
    if database and database.pool_mode:
        place = f"in the line of {database.name} (or of *) in [databases]"
    elif settings and settings.pool_mode not in ("", pool.mode):
        place = f"in the line of {pool.user} in [users]"
    else:
        place = "in [pgbouncer]"
    return by_hand(
        Step.CURE,
        f"pool_mode = transaction   ; {place} of pgbouncer.ini, then RELOAD at the console",
        effect="a client keeps a server connection for a transaction only; the application must "
        "not rely on session state (SET, LISTEN, advisory locks, and before 1.21 prepared "
        "statements)",
    )


def why_logins_fail(database: Database | None, pool: Pool) -> tuple[Remedy, ...]:
    """What PgBouncer's log says of its logins, and the same login by hand."""
    log = Remedy(
        step=Step.CONFIRM,
        command="journalctl -u pgbouncer --since '-10 min' | "
        "grep -iE 'login failed|connect failed|closing because|PAUSE'",
        effect="shows what PostgreSQL answered, or that nothing answers, or who paused it",
        language="sh",
    )
    if database is None or not database.host:
        return (log,)
    place = f"psql -h {quote(database.host)} -p {database.port} -U {quote(pool.user)}"
    login = Remedy(
        step=Step.CONFIRM,
        command=f"{place} -d {quote(database.database or database.name)} -c 'SELECT 1'",
        effect="on PgBouncer's machine: its own login, as PostgreSQL answers it",
        language="sh",
    )
    return (log, login)


def bounded_application_pools() -> Remedy:
    """Fewer clients."""
    return Remedy(
        step=Step.CURE,
        command="replicas x workers x (pool_size + max_overflow) <= max_client_conn, "
        "for all that connect here together",
        effect="bounds what the applications open; behind PgBouncer a small pool each is enough",
        language="text",
    )


def more_clients(most: int) -> Remedy:
    """A higher limit: clients cost PgBouncer a file and some KiB each."""
    return by_hand(
        Step.PREVENT,
        f"max_client_conn = {2 * most}   ; in pgbouncer.ini, then RELOAD at the console",
        effect=f"takes {2 * most} clients, if the process may open that many files and those of "
        "its pools (LimitNOFILE); PostgreSQL gets no connection more by it",
    )


def name_database_behind(database: Database | None) -> Remedy:
    """Lets the sessions behind the pool be seen beside it."""
    place = f"{database.host}:{database.port}" if database and database.host else "HOST:5432"
    name = database.database or database.name if database else "DATABASE"
    return Remedy(
        step=Step.CONFIRM,
        command=f"name postgresql://USER@{place}/{name} as a target beside PgBouncer's console, in "
        "one service or on one command line",
        effect="shows what the pool's connections do in PostgreSQL, and so why they are busy",
        language="text",
    )
