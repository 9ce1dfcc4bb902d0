"""Transactions of one application over two looks: which stand still and which turn over."""

import re
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.facts import Looks

# programs that hold one snapshot for as long as a backup takes, by design
_BACKUPS = r"(?i)pg_dump|pg_restore|pg_basebackup|pgbackrest|barman|wal-g"
_MAINTENANCE = r"(?i)\s*(VACUUM|ANALYZE|REINDEX|CLUSTER|CREATE\s+(UNIQUE\s+)?INDEX|REFRESH)\b"

CALLS_END = 60.0
"""Seconds after which nobody waits for a call any more: nginx's default proxy_read_timeout."""

MAY_BE_CALLS = (
    "transactions that wait for a long call to something outside the database look the same until "
    f"it ends: look again with --window {CALLS_END:.0f}, what is leaked is still there then; or "
    "see at the client where its code stands (py-spy dump --pid PID), and whom it asks (ss -tnp)"
)


def may_be_calls(sessions: Iterable[Session]) -> bool:
    """Whether transactions that idle may wait for something else as well as be forgotten: none
    has failed, and none has idled for longer than calls last."""
    return not any(
        session.state.endswith("(aborted)") or (session.state_age or 0.0) >= CALLS_END
        for session in sessions
    )


def is_backup(application: str) -> bool:
    """Whether the application is a backup, whose transaction is long by design."""
    return re.match(_BACKUPS, application) is not None


def is_maintenance(session: Session) -> bool:
    """Whether it runs a command that works on a whole table and shows its progress."""
    return session.state == "active" and re.match(_MAINTENANCE, session.query) is not None


def family(session: Session) -> str:
    """The application without the number that tells its processes apart (web-1, web-2)."""
    return re.sub(r"[-_:#/ ]*\d+$", "", session.application) or session.holder


def span(seconds: float) -> str:
    """Seconds in the unit that fits: ``45 s``, ``10 min``, ``2.5 h``, ``3 days``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def names(sessions: Iterable[Session]) -> list[str]:
    """Who they are, each once."""
    return list(dict.fromkeys(session.holder for session in sessions))


class Turnover(msgspec.Struct, frozen=True):
    """Transactions of one application and role that wait for their client, in two looks.

    ``gone`` were seen in the first look only, ``come`` in the second only, ``stayed`` in both
    and are no older than those that went; ages as when they were seen last.
    """

    gone: tuple[Session, ...]
    come: tuple[Session, ...]
    stayed: tuple[Session, ...]

    @property
    def idle_seconds(self) -> float:
        """For how long they had idled when they were seen: half of the whole, on average."""
        ages = [session.state_age or 0.0 for session in (*self.gone, *self.come)]
        return sum(ages) / len(ages)

    @property
    def at_once(self) -> int:
        """How many were seen at one time, the fewer of both looks."""
        return len(self.stayed) + min(len(self.gone), len(self.come))

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those of the last look."""
        return (*self.come, *self.stayed)


def held_while_turning(
    sessions: Looks[Sessions], *, at_once: int = 3, idle_seconds: float = 0.5
) -> list[Turnover]:
    """Groups of ``at_once`` transactions that idle for seconds each while they turn over.

    They wait for something outside the database. What stays far longer than those that went is
    stuck, and no part of such a group.
    """
    groups: dict[tuple[str, str], tuple[list[Session], list[Session]]]
    groups = defaultdict(lambda: ([], []))
    for number, look in enumerate((sessions.first, sessions.last)):
        for session in look.clients:
            if session.idle_in_transaction and session.state_age is not None:
                groups[family(session), session.user][number].append(session)
    found = (_turnover(first, last, sessions.seconds) for first, last in groups.values())
    return [
        group
        for group in found
        if group.gone
        and group.come
        and group.at_once >= at_once
        and group.idle_seconds >= idle_seconds
    ]


def _turnover(first: list[Session], last: list[Session], window: float) -> Turnover:
    def keys(sessions: list[Session]) -> set[tuple[int, int, int | None]]:
        return {(s.pid, s.started_us, s.transaction_us) for s in sessions}

    before, after = keys(first), keys(last)
    gone = tuple(s for s in first if not keys([s]) & after)
    longest = max((s.state_age or 0.0 for s in gone), default=0.0)
    stayed = (s for s in last if keys([s]) & before)
    return Turnover(
        gone=gone,
        come=tuple(s for s in last if not keys([s]) & before),
        stayed=tuple(s for s in stayed if (s.state_age or 0.0) <= 2 * (longest + window)),
    )
