"""Errors of other backends, recognised in what an application answers; one name for each."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownError:
    """``name`` is canonical (``sqlalchemy.pool_timeout``), ``meaning`` one clause for people."""

    name: str
    pattern: re.Pattern[str]
    meaning: str


def _known(name: str, pattern: str, meaning: str) -> KnownError:
    return KnownError(name, re.compile(pattern, re.IGNORECASE), meaning)


CONNECTION_LOST = "postgres.connection_lost"

# the first that fits is named: a traceback often holds a general error beneath a special one
KNOWN_ERRORS = (
    _known(
        "sqlalchemy.pool_timeout",
        r"QueuePool limit of size \d+ overflow -?\d+ reached, connection timed out",
        "no connection of SQLAlchemy's pool became free within pool_timeout",
    ),
    _known(
        "postgres.too_many_connections",
        r"sorry, too many clients already|remaining connection slots are reserved"
        r"|too many connections for (role|database)|TooManyConnectionsError",
        "PostgreSQL has no connection slot left",
    ),
    _known(
        "pgbouncer.client_limit",
        r"no more connections allowed \(max_client_conn\)",
        "PgBouncer takes no more clients",
    ),
    _known(
        "pgbouncer.pool_timeout",
        r"query_wait_timeout",
        "no server connection of PgBouncer became free within query_wait_timeout",
    ),
    _known(
        "postgres.deadlock",
        r"\bdeadlock detected\b|\bDeadlockDetected(Error)?\b",
        "PostgreSQL ended a transaction to open a circle of waits",
    ),
    _known(
        "mongodb.pool_timeout",
        r"Timed out while checking out a connection from connection pool|WaitQueueTimeoutError",
        "no connection of the MongoDB pool became free within waitQueueTimeoutMS",
    ),
    _known(
        "mongodb.unreachable",
        r"ServerSelectionTimeoutError|No servers found yet",
        "no MongoDB server that fits could be reached in time",
    ),
    _known(
        "redis.maxclients",
        r"max number of clients reached",
        "Redis takes no more clients",
    ),
    _known(
        "redis.pool_exhausted",
        r"\bMaxConnectionsError\b|\bToo many connections\b|\bNo connection available\.",
        "the Redis pool of the application has no connection left",
    ),
    _known(
        CONNECTION_LOST,
        r"server closed the connection unexpectedly|SSL connection has been closed unexpectedly"
        r"|connection was closed in the middle of operation|\bconnection (is|already) closed\b"
        r"|\bConnectionDoesNotExistError\b|terminating connection due to administrator command",
        "a pooled connection to PostgreSQL had ended before it was used",
    ),
    _known(
        "asyncpg.pool_timeout",
        r"asyncpg[/\\]pool\.py[\s\S]*\bTimeoutError\b",
        "no connection of asyncpg's pool became free in time",
    ),
    _known(
        "application.timeout",
        r"(?<![A-Za-z])(asyncio\.)?TimeoutError(?![A-Za-z])",
        "something that the application waited for did not come in time",
    ),
)

POSTGRES_POOL_ERRORS = frozenset(
    {
        "sqlalchemy.pool_timeout",
        "asyncpg.pool_timeout",
        "application.timeout",
    }
)
"""Names that a pool towards PostgreSQL may give when it has no connection to hand out."""

POOL_TIMEOUTS = frozenset({"sqlalchemy.pool_timeout", "asyncpg.pool_timeout"})
"""Those of them that can mean nothing else."""

_QUEUE_POOL = re.compile(r"QueuePool limit of size (\d{1,6}) overflow (-?\d{1,6}) reached")
_POOL_WAIT = re.compile(r"reached, connection timed out, timeout (\d{1,6}(?:\.\d{1,6})?)")


def recognise(text: str) -> str:
    """The canonical name of the first known error in ``text``, or ""."""
    return next((known.name for known in KNOWN_ERRORS if known.pattern.search(text)), "")


def meaning(name: str) -> str:
    """What a canonical name means, or ""."""
    return next((known.meaning for known in KNOWN_ERRORS if known.name == name), "")


def pool_of(text: str) -> tuple[int, int] | None:
    """(size, max_overflow) of the pool that a SQLAlchemy message tells of."""
    found = _QUEUE_POOL.search(text)
    return (int(found[1]), int(found[2])) if found else None


def pool_wait_of(text: str) -> float | None:
    """Seconds that a request may wait for a connection, where a SQLAlchemy message tells them."""
    found = _POOL_WAIT.search(text)
    return float(found[1]) if found else None


def named(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in their first order, the empty one left out."""
    return tuple(dict.fromkeys(filter(None, names)))
