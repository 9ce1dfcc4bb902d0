"""How many connections the work needs, by Little's law: what is at work on average, and room."""

import math

import msgspec

from backend_doctor.backends.postgres.counters import Counters, counts_within
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.facts import Looks

# a pool in use by more than that makes requests queue whenever they come in bursts
TARGET_USE = 0.7


def connections_needed(busy: float, target: float = TARGET_USE) -> int:
    """Connections that keep ``busy`` of them at work at ``target`` use; 1 at least."""
    return max(1, math.ceil(round(busy / target, 6)))


class Work(msgspec.Struct, frozen=True):
    """Connections at work on average over ``seconds``: ``running`` a statement, or
    ``in_transaction`` between two; ``held`` is how many there are."""

    held: int
    running: float
    in_transaction: float
    seconds: float

    @property
    def busy(self) -> float:
        """All that were at work."""
        return self.running + self.in_transaction

    @property
    def needed(self) -> int:
        """Connections that are enough for it."""
        return connections_needed(self.busy)

    @property
    def text(self) -> str:
        """The figures in words."""
        enough = "1 is enough" if self.needed == 1 else f"{self.needed} are enough"
        return (
            f"{self.held} held, {self.busy:.1f} busy on average over {self.seconds:.1f} s, {enough}"
            f" at {TARGET_USE:.0%} use"
        )


def _within(session: Session, seconds: float) -> float:
    return min(max(0.0, session.state_age or 0.0), seconds)


def _average(
    counted_ms: float, before: list[Session], after: list[Session], seconds: float
) -> float:
    """What ended within the window is counted by the server, whole, when it ends; so what it
    had lasted before is taken off, and what still lasts is added."""
    still = {(s.pid, s.started_us, s.state_us) for s in after}
    ended = [s for s in before if (s.pid, s.started_us, s.state_us) not in still]
    total = counted_ms / 1000 - sum(s.state_age or 0.0 for s in ended)
    total += sum(_within(s, seconds) for s in after)
    return max(0.0, total) / seconds


def work_within(
    counters: Looks[Counters], sessions: Looks[Sessions], database: str = ""
) -> Work | None:
    """What the connections of the server, or of one ``database``, did between two looks.

    None where the looks are too close to tell. Transactions that did not move from look to look
    are held, not worked in, and statements that wait for a lock do not work either.
    """
    seconds = counters.seconds
    if seconds < 0.1:
        return None
    counts = counts_within(counters)
    own = [one for one in counts.databases if database in ("", one.name)]
    first, last = (
        tuple(s for s in look.clients if database in ("", s.database))
        for look in (sessions.first, sessions.last)
    )
    earlier = sessions.first.by_pid()

    def state(found: tuple[Session, ...], wanted: str) -> list[Session]:
        return [s for s in found if s.state.startswith(wanted) and s.wait_type != "Lock"]

    def moved(found: list[Session]) -> list[Session]:
        return [s for s in found if s.pid not in earlier or not s.same_stay(earlier[s.pid])]

    idlers = moved(state(last, "idle in transaction"))
    stuck = {s.pid for s in state(last, "idle in transaction")} - {s.pid for s in idlers}
    before = [s for s in state(first, "idle in transaction") if s.pid not in stuck]
    return Work(
        held=len(last),
        running=_average(
            sum(one.active_ms for one in own),
            state(first, "active"),
            state(last, "active"),
            seconds,
        ),
        in_transaction=_average(
            sum(one.idle_in_transaction_ms for one in own), before, idlers, seconds
        ),
        seconds=seconds,
    )
