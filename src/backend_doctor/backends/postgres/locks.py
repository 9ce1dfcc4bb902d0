"""Who waits for whom: head blockers at the root, waiters beneath."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

import msgspec

from backend_doctor.backends.postgres.sessions import LockWait, Session, Sessions
from backend_doctor.facts import Looks
from backend_doctor.text import shorten

# table lock modes that DDL takes and ordinary reads or writes queue behind (PostgreSQL 13.3.1)
_DDL_MODES = frozenset({"AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock"})
# a row is waited for through its last writer's transaction, or through its tuple lock
_ROW_WAITS = frozenset({"transactionid", "tuple"})
# of the tree's lines: a report of 80 columns adds its own margin
_WIDTH = 68
_MOST_GROUPS = 8
_ADVISORY_CALL = r"(?i)pg_(?:try_)?advisory_(xact_)?lock"
# what an application calls itself, without the number of its process
_NUMBER = r"[-_:#/ ]*\d+$"


def waited(session: Session) -> float:
    """Seconds of the wait for a lock; 0 in its first moments."""
    return (session.lock.seconds or 0.0) if session.lock else 0.0


class Jam(msgspec.Struct, frozen=True):
    """One head blocker and all who wait behind it, longest wait first.

    ``head`` is None for a prepared transaction, whose ``head_pid`` is 0. ``table`` is the one
    whose row is waited for where another look told it.
    """

    head_pid: int
    head: Session | None
    waiters: tuple[Session, ...]
    table: str = ""

    @property
    def longest(self) -> float:
        """Seconds of the longest wait."""
        return max(map(waited, self.waiters), default=0.0)

    @property
    def prepared(self) -> tuple[str, ...]:
        """The gids of the prepared transactions that hold what is waited for."""
        direct = (one.lock for one in self.waiters if one.lock and 0 in one.blocked_by)
        return tuple(sorted({gid for lock in direct for gid in lock.prepared}))

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
        """Those who wait for one row with one and the same statement, the largest such group."""
        groups: dict[tuple[str, object], list[Session]] = defaultdict(list)
        for waiter in self.waiters:
            if waiter.wait in _ROW_WAITS:
                groups[waiter.statement, waiter.lock and waiter.lock.row].append(waiter)
        largest: list[Session] = max(groups.values(), key=len, default=[])
        return tuple(largest)

    @property
    def row_table(self) -> str:
        """The table whose row is waited for, where a tuple lock tells it; else ""."""
        return next((w.lock.row[0] for w in self.waiters if w.lock and w.lock.row), self.table)

    @property
    def table_is_held(self) -> bool:
        """Whether plain readers wait for the head itself: only a schema change shuts them out."""
        return any(
            waiter.lock is not None
            and waiter.lock.mode == "AccessShareLock"
            and self.head_pid in waiter.blocked_by
            for waiter in self.waiters
        )

    @property
    def advisory(self) -> tuple[Session, ...]:
        """Those who wait for advisory locks of the head itself; nobody if most want others."""
        direct = [waiter for waiter in self.waiters if self.head_pid in waiter.blocked_by]
        wanting = [one for one in direct if one.lock and one.lock.type == "advisory"]
        return tuple(wanting) if 2 * len(wanting) > len(direct) else ()

    @property
    def own_kind(self) -> bool:
        """Whether all who wait belong to the head's own application."""
        names = {re.sub(_NUMBER, "", one.holder) for one in self.waiters}
        return self.head is not None and names == {re.sub(_NUMBER, "", self.head.holder)}

    @property
    def advisory_level(self) -> str:
        """What ends the head's advisory lock: its ``session``, its ``transaction``, or
        ``either`` where this cannot be seen."""
        if self.head is None:
            return "transaction"
        if self.head.state == "idle":
            return "session"
        called = re.search(_ADVISORY_CALL, self.head.query)
        if called is None:
            return "either"
        return "transaction" if called.group(1) else "session"

    def lines(self) -> list[str]:
        """The tree: the head, and who waits, each a step further in than whom he waits for.

        Equal waiters stand together, and a line fits into a report of 80 columns.
        """
        groups: dict[tuple[int, str, str, str], list[Session]] = defaultdict(list)
        for waiter, depth in self._depths():
            lock = waiter.lock
            wanted = f"{lock.mode.removesuffix('Lock')} on {_place(lock)}" if lock else waiter.wait
            groups[depth, waiter.holder, wanted, waiter.statement].append(waiter)
        drawn = [*_two_lines("", _who(self), self.head.query if self.head else "")]
        # waiters come longest wait first, and so do their groups
        ordered = sorted(groups.items(), key=lambda group: group[0][0])
        for (depth, _, wanted, _), members in ordered[:_MOST_GROUPS]:
            drawn += _two_lines("  " * depth, _some(members), f"{wanted}: {members[0].query}")
        rest = sum(len(members) for _, members in ordered[_MOST_GROUPS:])
        return [*drawn, f"  and {rest} more"] if rest else drawn

    def _depths(self) -> Iterator[tuple[Session, int]]:
        """The waiters, each with the length of the shortest way to the head."""
        reached, depth, left = {self.head_pid}, 0, list(self.waiters)
        while left:
            depth += 1
            layer = [one for one in left if reached.intersection(one.blocked_by)]
            if not layer:
                return
            yield from ((one, depth) for one in layer)
            reached |= {one.pid for one in layer}
            left = [one for one in left if one.pid not in reached]


def _place(lock: LockWait) -> str:
    return lock.relation or (f"advisory lock {lock.advisory}" if lock.key else lock.type)


def _who(jam: Jam) -> str:
    head = jam.head
    if head is None:
        return " ".join(["prepared transaction", *jam.prepared])
    age = head.transaction_age
    since = "" if age is None else f", {age:.0f} s in its transaction"
    return f"pid {head.pid} {head.holder} ({head.state}{since})"


def _some(members: list[Session]) -> str:
    """Who they are and how long the first has waited, with up to three of their pids."""
    few = ", ".join(str(one.pid) for one in members[:3])
    count = f"{len(members)} x " if len(members) > 1 else ""
    more = ", ..." if len(members) > 3 else ""
    holder = shorten(members[0].holder, 26)
    return f"{count}{holder}, {waited(members[0]):.1f} s (pid {few}{more})"


def _two_lines(indent: str, who: str, query: str) -> Iterator[str]:
    arrow = "-> " if indent else ""
    yield shorten(f"{indent}{arrow}{who}", _WIDTH)
    if query:
        yield shorten(f"{indent}{' ' * len(arrow)}| {' '.join(query.split())}", _WIDTH)


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


def turns_over(jam: Jam, other: Sessions) -> bool:
    """Whether the head's transaction is not to be found in the other look."""
    if jam.head is None:
        return False
    there = other.by_pid().get(jam.head_pid)
    return there is None or there.transaction_us != jam.head.transaction_us


def hot_row(sessions: Looks[Sessions], least: int) -> Jam | None:
    """A queue for one row whose head changes; the longer of both looks, since one alone may
    catch the moment between two turns."""
    found: list[Jam] = []
    tables: dict[str, str] = {}
    for seen, other in ((sessions.last, sessions.first), (sessions.first, sessions.last)):
        for jam in jams(seen):
            queue = jam.row_queue
            if queue and jam.row_table:
                tables[queue[0].statement] = jam.row_table
            if len(queue) < least or not turns_over(jam, other):
                continue
            statement = queue[0].statement
            busy = [s for s in other.clients if s.state == "active" and s.statement == statement]
            if len(busy) >= least:
                # between two turns the waiters hold no place in the lock table for a moment
                turning = _between_turns(seen, queue[0], jam)
                found.append(msgspec.structs.replace(jam, waiters=(*jam.waiters, *turning)))
    longest = max(found, key=lambda jam: len(jam.waiters), default=None)
    if longest is None:
        return None
    # a look that falls between two turns finds nobody's place in the lock table
    return msgspec.structs.replace(longest, table=tables.get(longest.row_queue[0].statement, ""))


def _between_turns(seen: Sessions, waiter: Session, jam: Jam) -> list[Session]:
    """Those who run the queue's statement and wait, though for no lock of the table."""
    known = {jam.head_pid, *(one.pid for one in jam.waiters)}
    return [
        session
        for session in seen.clients
        if session.pid not in known
        and session.statement == waiter.statement
        and session.wait_type in ("Lock", "LWLock")
    ]


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


def shut_out(sessions: Sessions, names: Collection[str]) -> tuple[Session, str] | None:
    """Who keeps all readers from one of the tables (names without schema), and its full name:
    the session that has locked it for itself alone, else the first that waits to do so."""
    holding = ((one, table) for one in sessions.sessions for table in one.excludes)
    wanting = (
        (one, one.lock.relation)
        for one in sessions.sessions
        if one.lock and one.lock.relation and one.lock.mode == "AccessExclusiveLock"
    )
    return next((pair for pair in chain(holding, wanting) if _name(pair[1]) in names), None)


def _name(table: str) -> str:
    return table.partition(".")[2]


def circles(sessions: Sessions) -> tuple[Session, ...]:
    """Those who wait for one another in a circle, until the server ends one of them.

    Each waiter's blockers are read one after the other, so a queue that moves may look so too.
    """
    waiting = {one.pid: one for one in sessions.sessions if one.blocked_by}
    while True:
        # in a circle everyone waits for one of it, and one of it waits for him
        blockers = {pid for one in waiting.values() for pid in one.blocked_by}
        left = {
            pid: one
            for pid, one in waiting.items()
            if pid in blockers and not waiting.keys().isdisjoint(one.blocked_by)
        }
        if len(left) == len(waiting):
            return tuple(left.values())
        waiting = left
