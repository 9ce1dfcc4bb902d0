"""What the connections of a full pool do: told from their sessions on PostgreSQL."""

from collections import defaultdict
from enum import Enum, auto

import msgspec

from backend_doctor.backends.pgbouncer.behind import Behind
from backend_doctor.backends.postgres.sessions import Session


class Doing(Enum):
    """What most sessions of a pool do."""

    LEAKED = auto()
    IDLE = auto()
    BLOCKED = auto()
    ONE_STATEMENT = auto()
    WORKING = auto()


class Holding(msgspec.Struct, frozen=True):
    """``sessions`` are those that do it, the others left out."""

    doing: Doing
    sessions: tuple[Session, ...]


def holding(
    behind: Behind,
    *,
    idle_seconds: float,
    idle_seconds_in_one_look: float,
    slow_seconds: float,
    seconds_each: float,
) -> Holding:
    """What at least half of the sessions do; they work where no half does one thing.

    ``seconds_each`` is what a transaction takes on the average, 0 where that is not known.
    """
    half = len(behind.sessions) / 2
    least = idle_seconds if behind.looks.seconds else idle_seconds_in_one_look
    for doing, found in (
        (Doing.LEAKED, _stuck(behind, least, "idle in transaction")),
        (Doing.IDLE, _stuck(behind, least, "idle")),
        (Doing.BLOCKED, [one for one in behind.sessions if one.wait_type == "Lock"]),
        (Doing.ONE_STATEMENT, _one_statement(behind, slow_seconds, seconds_each)),
    ):
        if found and len(found) >= half:
            return Holding(doing, tuple(found))
    return Holding(Doing.WORKING, behind.sessions)


def _stuck(behind: Behind, idle_seconds: float, state: str) -> list[Session]:
    """Those in a state (an aborted transaction is one too) that they did not leave meanwhile."""
    before = behind.looks.first.by_pid()
    return [
        session
        for session in behind.sessions
        if session.state in (state, f"{state} (aborted)")
        and (session.state_age or 0.0) >= idle_seconds
        and (earlier := before.get(session.pid)) is not None
        and session.same_stay(earlier)
    ]


def _one_statement(behind: Behind, slow_seconds: float, seconds_each: float) -> list[Session]:
    """The largest group in one statement, if it takes long by a look or on the average, and the
    first look, where there was one, met it too."""
    groups: dict[str, list[Session]] = defaultdict(list)
    for session in behind.sessions:
        if session.state == "active" and session.wait_type != "Lock":
            groups[session.statement].append(session)
    group: list[Session] = max(groups.values(), key=len, default=[])
    statement = group[0].statement if group else ""
    before = [
        one
        for one in behind.looks.first.clients
        if one.state == "active" and one.statement == statement
    ]
    ages = [one.state_age or 0.0 for one in (*group, *before)]
    slow = max([seconds_each, *ages]) >= slow_seconds
    return group if slow and before else []
