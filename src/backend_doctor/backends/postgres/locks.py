"""Who waits for whom: blockers at the root, waiters beneath, as a tree."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backend_doctor.backends.postgres.sessions import Session, Sessions

# a prepared transaction holds locks without a session: pg_blocking_pids says 0
PREPARED = 0
# table lock modes that DDL takes and ordinary reads or writes queue behind (PostgreSQL 13.3.1)
_DDL_MODES = frozenset({"AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock"})


@dataclass(frozen=True)
class Jam:
    """One head blocker (None: not a visible session) and all who wait behind it."""

    head_pid: int
    head: Session | None
    waiters: tuple[Session, ...]

    @property
    def longest(self) -> float:
        """Seconds of the longest wait."""
        return max((w.lock.seconds or 0.0) if w.lock else 0.0 for w in self.waiters)

    @property
    def ddl(self) -> Session | None:
        """The waiter that wants a whole table for itself, behind which others queue."""
        for waiter in self.waiters:
            lock = waiter.lock
            if lock and lock.type == "relation" and lock.mode in _DDL_MODES:
                return waiter
        return None

    @property
    def row_waiters(self) -> tuple[Session, ...]:
        """The waiters for the one row that most of them want."""
        groups: dict[str, list[Session]] = defaultdict(list)
        for waiter in self.waiters:
            if waiter.lock and waiter.lock.row:
                groups[waiter.lock.row[0]].append(waiter)
        largest: list[Session] = max(groups.values(), key=len, default=[])
        return tuple(largest)

    def tree(self, most: int = 12) -> tuple[str, ...]:
        """The jam drawn line by line, at most ``most`` waiters."""
        children: dict[int, list[Session]] = defaultdict(list)
        for waiter in self.waiters:
            children[_nearest(waiter, self)].append(waiter)

        def lines(pid: int, depth: int, seen: set[int]) -> Iterator[str]:
            for child in children[pid]:
                if child.pid not in seen:
                    seen.add(child.pid)
                    yield f"{'  ' * depth}-> {_label(child)}"
                    yield from lines(child.pid, depth + 1, seen)

        drawn = [_label(self.head) if self.head else "a prepared transaction"]
        drawn += lines(self.head_pid, 1, {self.head_pid})
        more = len(drawn) - 1 - most
        return (*drawn[: most + 1], *((f"  ... and {more} more",) if more > 0 else ()))


def _nearest(waiter: Session, jam: Jam) -> int:
    """The blocker to draw a waiter beneath: another waiter rather than the head."""
    pids = {other.pid for other in jam.waiters}
    between = [pid for pid in waiter.blocked_by if pid in pids]
    return between[0] if between else jam.head_pid


def _label(session: Session) -> str:
    wanted = ""
    if session.lock:
        what = session.lock.relation or session.lock.type
        wanted = f" waits {session.lock.seconds or 0:.0f} s for {session.lock.mode} on {what}"
    return f"pid {session.pid} {session.holder} ({session.state}){wanted}"


def jams(sessions: Sessions) -> list[Jam]:
    """All head blockers with those who wait behind them, the largest jam first.

    Deadlocked circles have no head and end by themselves after deadlock_timeout.
    """
    by_pid = sessions.by_pid()
    behind: dict[int, dict[int, Session]] = defaultdict(dict)

    def heads(pid: int, seen: frozenset[int]) -> Iterator[int]:
        blockers = by_pid[pid].blocked_by if pid in by_pid else ()
        if not blockers:
            yield pid
        for blocker in blockers:
            if blocker not in seen:
                yield from heads(blocker, seen | {blocker})

    for session in sessions.sessions:
        if session.blocked_by:
            for head in heads(session.pid, frozenset({session.pid})):
                behind[head][session.pid] = session
    found = [
        Jam(head, by_pid.get(head), _by_wait(waiters.values())) for head, waiters in behind.items()
    ]
    return sorted(found, key=lambda jam: len(jam.waiters), reverse=True)


def _by_wait(waiters: Iterable[Session]) -> tuple[Session, ...]:
    def seconds(waiter: Session) -> float:
        return (waiter.lock.seconds or 0.0) if waiter.lock else 0.0

    return tuple(sorted(waiters, key=seconds, reverse=True))
