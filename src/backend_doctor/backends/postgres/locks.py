"""Who waits for whom: head blockers at the root, waiters beneath."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend_doctor.backends.postgres.sessions import Session, Sessions

# table lock modes that DDL takes and ordinary reads or writes queue behind (PostgreSQL 13.3.1)
_DDL_MODES = frozenset({"AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock"})
# a row is waited for through its last writer's transaction, or through its tuple lock
_ROW_WAITS = frozenset({"transactionid", "tuple"})


def waited(session: Session) -> float:
    """Seconds of the wait for a lock; 0 in its first moments."""
    return (session.lock.seconds or 0.0) if session.lock else 0.0


@dataclass(frozen=True)
class Jam:
    """One head blocker and all who wait behind it, longest wait first.

    ``head`` is None for a prepared transaction, whose ``head_pid`` is 0.
    """

    head_pid: int
    head: Session | None
    waiters: tuple[Session, ...]

    @property
    def longest(self) -> float:
        """Seconds of the longest wait."""
        return max(map(waited, self.waiters), default=0.0)

    @property
    def ddl(self) -> Session | None:
        """The waiter that wants a whole table for itself, behind which others queue."""
        for waiter in self.waiters:
            lock = waiter.lock
            if lock and lock.type == "relation" and lock.mode in _DDL_MODES:
                return waiter
        return None

    @property
    def row_queue(self) -> tuple[Session, ...]:
        """Those who wait for rows with one and the same statement, the largest such group."""
        groups: dict[str, list[Session]] = defaultdict(list)
        for waiter in self.waiters:
            if waiter.wait in _ROW_WAITS:
                groups[waiter.statement].append(waiter)
        largest: list[Session] = max(groups.values(), key=len, default=[])
        return tuple(largest)

    @property
    def row_table(self) -> str:
        """The table whose row is waited for, where a tuple lock tells it; else ""."""
        return next((w.lock.row[0] for w in self.waiters if w.lock and w.lock.row), "")

    @property
    def table_is_held(self) -> bool:
        """Whether plain readers wait for the head itself: only a schema change shuts them out."""
        return any(
            waiter.lock is not None
            and waiter.lock.mode == "AccessShareLock"
            and self.head_pid in waiter.blocked_by
            for waiter in self.waiters
        )

    def lines(self) -> list[str]:
        """The tree in short lines, equal waiters together, deeper ones after more arrows."""
        pids = {waiter.pid for waiter in self.waiters}
        groups: dict[tuple[int, str], list[int]] = defaultdict(list)
        for waiter in self.waiters:
            lock = waiter.lock
            wanted = f"{lock.mode} on {lock.relation or lock.type}" if lock else waiter.wait
            depth = 2 if pids.intersection(waiter.blocked_by) else 1
            groups[depth, f"{waiter.holder} wants {wanted}"].append(waiter.pid)
        head = self.head
        drawn = [f"pid {head.pid} {head.holder} ({head.state})" if head else "prepared transaction"]
        for (depth, text), members in sorted(groups.items()):
            few = ", ".join(map(str, members[:4])) + (", ..." if len(members) > 4 else "")
            drawn.append(f"{'-> ' * depth}{len(members)} x {text} (pid {few})")
        return drawn


def jams(sessions: Sessions) -> list[Jam]:
    """All head blockers with those who wait behind them, the largest jam first.

    Deadlocked circles have no head and end by themselves after deadlock_timeout.
    """
    by_pid = sessions.by_pid()
    next_to: dict[int, list[Session]] = defaultdict(list)
    for session in sessions.sessions:
        for blocker in session.blocked_by:
            next_to[blocker].append(session)
    heads = [pid for pid in next_to if pid not in by_pid or not by_pid[pid].blocked_by]
    found = [Jam(head, by_pid.get(head), _by_wait(_behind(head, next_to))) for head in heads]
    return sorted(found, key=lambda jam: len(jam.waiters), reverse=True)


def _behind(head: int, next_to: Mapping[int, list[Session]]) -> Iterable[Session]:
    """All who wait for the head, directly or through others. Each is visited once: in a queue
    of n for one row everyone names all before him, which makes 2 ** n ways to the head."""
    found: dict[int, Session] = {}
    unvisited = [head]
    while unvisited:
        for session in next_to.get(unvisited.pop(), ()):
            if session.pid not in found:
                found[session.pid] = session
                unvisited.append(session.pid)
    return found.values()


def _by_wait(waiters: Iterable[Session]) -> tuple[Session, ...]:
    return tuple(sorted(waiters, key=waited, reverse=True))
