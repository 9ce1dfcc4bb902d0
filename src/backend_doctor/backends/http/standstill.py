"""A pool that is full of requests which wait for one more of its connections."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from backend_doctor.backends.http.answers import Sample
from backend_doctor.backends.http.errors import POOL_TIMEOUTS
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.transactions import family
from backend_doctor.facts import Looks

# seconds within which requests that were let go together stand again (measured: 0.02)
TOGETHER = 0.3
# seconds that a busy client may take to notice that its wait is over
_LATE = 1.0
# seconds of idling that no pool has whose connections others wait for
_STANDS = 0.2
# of the sessions; a pool's other process, or its first connection, may be between two waits
_NEARLY_ALL = 0.8
# SQLAlchemy's default pool_timeout
LONGEST_WAIT = 30.0


def pool_wait(samples: Iterable[Sample]) -> float | None:
    """Seconds that a request waits for a connection: as the answers tell it, else at most as long
    as the quickest that names a pool's timeout; None if none does."""
    starved = [sample for sample in samples if sample.error in POOL_TIMEOUTS]
    told = [sample.pool_wait for sample in starved if sample.pool_wait is not None]
    return max(told) if told else min((sample.seconds for sample in starved), default=None)


def began_together(sessions: Sequence[Session], within: float = TOGETHER) -> bool:
    """Whether all entered their state within so many seconds."""
    starts = [session.state_us for session in sessions]
    return max(starts) - min(starts) <= within * 1e6


class Standstill(msgspec.Struct, frozen=True):
    """One application's sessions in a look in which all of them stand.

    ``others`` are its sessions in the other look, ``replaced`` whether none stood on from look
    to look.
    """

    sessions: tuple[Session, ...]
    others: tuple[Session, ...]
    replaced: bool

    @property
    def holders(self) -> list[str]:
        """Who they are, each once."""
        return list(dict.fromkeys(session.holder for session in self.sessions))

    @property
    def oldest(self) -> float:
        """Seconds for which the first of them has stood."""
        return max(session.state_age or 0.0 for session in self.sessions)


def standstills(looks: Looks[Sessions], database: str, size: int, wait: float) -> list[Standstill]:
    """Applications whose whole pool stands, ``size`` connections of a process together, for no
    longer than ``wait`` seconds; the largest first.

    In both looks, or in one while in the other all had just been let go.
    """
    first, last = _grouped(looks.first, database), _grouped(looks.last, database)
    found = []
    for key, after in last.items():
        before = first.get(key, [])
        stood, stands = (_standing(group, size, wait + _LATE) for group in (before, after))
        if (stood or _let_go(before)) and (stands or _let_go(after)) and (stood or stands):
            seen, others = (stands, before) if stands else (stood, after)
            earlier = {session.pid: session for session in before}
            stayed = [s for s in after if s.pid in earlier and s.same_stay(earlier[s.pid])]
            found.append(Standstill(tuple(seen), tuple(others), not stayed))
    return sorted(found, key=lambda one: len(one.sessions), reverse=True)


def _grouped(look: Sessions, database: str) -> dict[tuple[str, str], list[Session]]:
    groups: dict[tuple[str, str], list[Session]] = defaultdict(list)
    for session in look.clients:
        if database in ("", session.database) and session.state_age is not None:
            groups[family(session), session.user].append(session)
    return groups


def _standing(group: Sequence[Session], size: int, longest: float) -> list[Session]:
    """Those that idle after one statement, a pool's worth together; none unless nearly all do."""
    idle = [s for s in group if s.state.startswith("idle") and (s.state_age or 0.0) <= longest]
    statements = Counter(s.statement for s in idle).most_common(1)
    alike = [s for s in idle if s.statement == statements[0][0]]
    waves: list[list[Session]] = []
    for session in sorted(alike, key=lambda s: s.state_us):
        if waves and began_together([waves[-1][0], session]):
            waves[-1].append(session)
        else:
            waves.append([session])
    least = _NEARLY_ALL * size if len(group) >= size else size
    found = [s for wave in waves if len(wave) >= least for s in wave]
    waits = any(s.wait_type == "Lock" for s in group)
    stands = max((s.state_age or 0.0 for s in found), default=0.0) >= _STANDS
    return found if stands and not waits and len(found) >= _NEARLY_ALL * len(group) else []


def _let_go(group: Sequence[Session]) -> bool:
    return bool(group) and all((s.state_age or 0.0) < TOGETHER for s in group)
