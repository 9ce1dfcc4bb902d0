"""Errors of other backends, recognised in what an application answers; one name for each."""

import re
from collections.abc import Iterable

import msgspec


class KnownError(msgspec.Struct, frozen=True):
    """``name`` is canonical (``sqlalchemy.pool_timeout``), ``meaning`` one clause for people; the
    ``pattern`` ignores case."""

    name: str
    pattern: str
    meaning: str


CONNECTION_LOST = "postgres.connection_lost"

# the first that fits is named: a traceback often holds a general error beneath a special one
KNOWN_ERRORS = (
    KnownError(
        "sqlalchemy.pool_timeout",
        r"QueuePool limit of size \d+ overflow -?\d+ reached, connection timed out",
        "no connection of SQLAlchemy's pool became free within pool_timeout",
    ),
    KnownError(
        "psycopg.pool_timeout",
        r"couldn.{1,6}t get a connection after \d",
        "no connection of psycopg's pool became free within its timeout",
    ),
    KnownError(
        "psycopg.pool_exhausted",
        r"\bconnection pool exhausted\b",
        "all connections of psycopg2's pool are taken, and it waits for none",
    ),
    KnownError(
        "postgres.too_many_connections",
        r"sorry, too many clients already|remaining connection slots are reserved"
        r"|too many connections for (role|database)|TooManyConnectionsError",
        "PostgreSQL has no connection slot left",
    ),
    KnownError(
        "pgbouncer.client_limit",
        r"no more connections allowed \(max_client_conn\)",
        "PgBouncer takes no more clients",
    ),
    KnownError(
        "pgbouncer.pool_timeout",
        r"query_wait_timeout",
        "no server connection of PgBouncer became free within query_wait_timeout",
    ),
    KnownError(
        "pgbouncer.prepared_statements",
        r'prepared statement \\?"[^"]{1,80}" (does not exist|already exists)',
        "statements are prepared on one server connection of PgBouncer and used on another",
    ),
    KnownError(
        "postgres.idle_in_transaction_timeout",
        r"terminating connection due to idle-in-transaction timeout"
        r"|IdleInTransactionSessionTimeout",
        "PostgreSQL ended a session that did nothing within its transaction",
    ),
    KnownError(
        "postgres.statement_timeout",
        r"canceling statement due to statement timeout",
        "a statement took longer than statement_timeout",
    ),
    KnownError(
        "postgres.lock_timeout",
        r"canceling statement due to lock timeout|could not obtain lock on (row|relation)"
        r"|\bLockNotAvailable",
        "a lock that another session holds did not become free in time",
    ),
    KnownError(
        "postgres.read_only",
        r"cannot execute [A-Z ]{3,40} in a read-only transaction|ReadOnlySQLTransaction",
        "what is written to is a standby, or was set to reading only",
    ),
    KnownError(
        "postgres.shared_connection",
        r"another operation is in progress|concurrent operations are not permitted",
        "two tasks use one connection, or one Session, at the same time",
    ),
    KnownError(
        "postgres.not_ready",
        r"the database system is (starting up|shutting down|in recovery mode|not yet accepting)",
        "PostgreSQL starts, stops or recovers",
    ),
    KnownError(
        "postgres.deadlock",
        r"\bdeadlock detected\b|\bDeadlockDetected(Error)?\b",
        "PostgreSQL ended a transaction to open a circle of waits",
    ),
    KnownError(
        "mongodb.pool_timeout",
        r"Timed out while checking out a connection from connection pool|WaitQueueTimeoutError",
        "no connection of the MongoDB pool became free within waitQueueTimeoutMS",
    ),
    KnownError(
        "mongodb.unreachable",
        r"ServerSelectionTimeoutError|No servers found yet|Topology Description: <",
        "no MongoDB server that fits could be reached in time",
    ),
    KnownError(
        "redis.maxclients",
        r"max number of clients reached",
        "Redis takes no more clients",
    ),
    KnownError(
        "redis.pool_exhausted",
        r"\bMaxConnectionsError\b|\bToo many connections\b|\bNo connection available\.",
        "the Redis pool of the application has no connection left",
    ),
    KnownError(
        "redis.out_of_memory",
        r"command not allowed when used memory\b",
        "Redis is full and takes no more writes",
    ),
    KnownError(
        "redis.read_only",
        r"You can.{1,6}t write against a read only replica",
        "what is written to is a replica of Redis",
    ),
    KnownError(
        "process.open_files",
        r"\bToo many open files\b",
        "the process has as many files and sockets open as it may",
    ),
    KnownError(
        "host.disk_full",
        r"\bNo space left on device\b",
        "a disk is full: the application's own, or its database's",
    ),
    KnownError(
        CONNECTION_LOST,
        r"server closed the connection unexpectedly|SSL connection has been closed unexpectedly"
        r"|connection was closed in the middle of operation|\bconnection (is|already) closed\b"
        r"|\bConnectionDoesNotExistError\b|terminating connection due to administrator command",
        "a pooled connection to PostgreSQL had ended before it was used",
    ),
    KnownError(
        "asyncpg.pool_timeout",
        r"asyncpg[/\\]pool\.py[\s\S]*\bTimeoutError\b",
        "no connection of asyncpg's pool became free in time",
    ),
    KnownError(
        "application.name_unknown",
        r"Name or service not known|Temporary failure in name resolution"
        r"|nodename nor servname provided|No address associated with hostname",
        "the name of a host that the application needs does not resolve",
    ),
    KnownError(
        "application.connection_refused",
        r"\bConnection ?refused\b|\bConnect call failed\b|All connection attempts failed",
        "nothing listens where the application looks for a server that it needs",
    ),
    KnownError(
        "application.timeout",
        r"(?<![A-Za-z])(asyncio\.)?TimeoutError(?![A-Za-z])",
        "something that the application waited for did not come in time",
    ),
)

POSTGRES_POOL_ERRORS = frozenset(
    {
        "sqlalchemy.pool_timeout",
        "psycopg.pool_timeout",
        "psycopg.pool_exhausted",
        "asyncpg.pool_timeout",
        "application.timeout",
    }
)
"""Names that a pool towards PostgreSQL may give when it has no connection to hand out."""

POOL_TIMEOUTS = frozenset(
    {"sqlalchemy.pool_timeout", "psycopg.pool_timeout", "asyncpg.pool_timeout"}
)
"""Those of them that can mean nothing else, after a wait."""

_QUEUE_POOL = r"QueuePool limit of size (\d{1,6}) overflow (-?\d{1,6}) reached"
_POOL_WAIT = (
    r"(?:reached, connection timed out, timeout|couldn.{1,6}t get a connection after) "
    r"(\d{1,6}(?:\.\d{1,6})?)"
)


def recognise(text: str) -> str:
    """The canonical name of the first known error in ``text``, or ""."""
    return next(
        (known.name for known in KNOWN_ERRORS if re.search(known.pattern, text, re.IGNORECASE)), ""
    )


def meaning(name: str) -> str:
    """What a canonical name means, or ""."""
    return next((known.meaning for known in KNOWN_ERRORS if known.name == name), "")


def pool_of(text: str) -> tuple[int, int] | None:
    """(size, max_overflow) of the pool that a SQLAlchemy message tells of."""
    found = re.search(_QUEUE_POOL, text)
    return (int(found[1]), int(found[2])) if found else None


def pool_wait_of(text: str) -> float | None:
    """Seconds that a request may wait for a connection, where SQLAlchemy or psycopg tells them."""
    found = re.search(_POOL_WAIT, text)
    return float(found[1]) if found else None


def named(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in their first order, the empty one left out."""
    return tuple(dict.fromkeys(filter(None, names)))
