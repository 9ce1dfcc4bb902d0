"""N+1: one statement returns keys, and the application calls another one for each of them."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from backend_doctor.backends.postgres.frequent import (
    MOST_APART,
    FrequentStatement,
    FrequentStatements,
    frequent_loads,
    possible_parents,
)
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import Load, Statements, window_loads
from backend_doctor.facts import Looks

# a session that has just moved may be in the middle of a request
_MOVED_SECONDS = 1.0
_Texts = Mapping[tuple[str, str], FrequentStatement]


class Repetition(msgspec.Struct, frozen=True):
    """``children`` are called once for each row that ``parent`` returns.

    ``share`` is their part of all calls in their database.
    """

    parent: Load
    parent_text: str
    children: tuple[tuple[Load, FrequentStatement], ...]
    share: float

    @property
    def calls(self) -> int:
        """Calls of all children in the window."""
        return sum(load.calls for load, _ in self.children)

    @property
    def each(self) -> float:
        """Round trips that one call of the parent causes."""
        return self.calls / self.parent.calls

    @property
    def execution_ms(self) -> float:
        """What the children of one call of the parent took within the server."""
        return sum(load.ms for load, _ in self.children) / self.parent.calls


def _in_flight(load: Load, sessions: Looks[Sessions] | None) -> int:
    """Sessions of the statement's role that were in the middle of something, the more of both
    looks, and at least one."""
    looks = (sessions.first, sessions.last) if sessions else ()
    moved = (
        sum(
            (one.user, one.database) == (load.role, load.database)
            and (one.state != "idle" or (one.state_age or 0.0) < _MOVED_SECONDS)
            for one in look.clients
        )
        for look in looks
    )
    return max((1, *moved))


def _parent(
    child: Load, loads: list[Load], texts: _Texts, sessions: Looks[Sessions] | None
) -> Load | None:
    """The statement whose rows the child's calls follow.

    The window cuts a request of each session in flight, at either end: so far the numbers may
    be apart, and by a twentieth for what the application knew already.
    """
    for parent in possible_parents(child, loads):
        text = texts.get((parent.database, parent.query_id))
        cut = _in_flight(child, sessions) * parent.rows_per_call / child.calls
        near = abs(parent.rows / child.calls - 1) <= min(MOST_APART, 0.05 + cut)
        if text is not None and not text.changes and parent.calls > 1 and near:
            return parent
    return None


def repetitions(
    statements: Looks[Statements],
    frequent: FrequentStatements,
    sessions: Looks[Sessions] | None,
    *,
    most_ms: float,
    most_rows: float,
) -> list[Repetition]:
    """The patterns of the window, most round trips first.

    A child is called often, takes less than ``most_ms``, returns at most ``most_rows`` a call
    and asks for one key by its text.
    """
    loads, texts = window_loads(statements), frequent.by_key()
    found: dict[tuple[str, str], list[tuple[Load, FrequentStatement]]] = defaultdict(list)
    parents: dict[tuple[str, str], Load] = {}
    for child in frequent_loads(loads, statements.seconds):
        text = texts.get((child.database, child.query_id))
        small = child.mean_ms < most_ms and child.rows_per_call <= most_rows
        if text is None or not text.by_id or not small:
            continue
        parent = _parent(child, loads, texts, sessions)
        if parent is not None:
            key = (parent.database, parent.query_id)
            parents[key] = parent
            found[key].append((child, text))
    patterns = []
    for key, children in found.items():
        calls = sum(load.calls for load in loads if load.database == key[0])
        share = sum(load.calls for load, _ in children) / calls
        patterns.append(Repetition(parents[key], texts[key].text, tuple(children), share))
    return sorted(patterns, key=lambda one: one.calls, reverse=True)
