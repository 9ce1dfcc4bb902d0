"""How the application's pool looks from its database: busy and turning over, or stuck."""

import re
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.facts import Looks

# seconds; a connection that others wait for is not idle for longer
_HANDED_ON = 0.1
# a wait for a lock in which a request is late
_LONG_WAIT = 0.5


def _family(session: Session) -> tuple[str, str]:
    """Role, and the application without the number that tells its processes apart."""
    return session.user, re.sub(r"[-_:#/ ]*\d+$", "", session.application) or session.holder


def _grouped(look: Sessions) -> dict[tuple[str, str], list[Session]]:
    groups: dict[tuple[str, str], list[Session]] = defaultdict(list)
    for session in look.clients:
        groups[_family(session)].append(session)
    return groups


def families(look: Sessions) -> list[list[Session]]:
    """The sessions of each application and role, its processes together."""
    return list(_grouped(look).values())


class Crowd(msgspec.Struct, frozen=True):
    """One application's sessions in both looks.

    ``stuck`` did not move from look to look, ``busy`` is the share of sightings that were at
    work, ``longest`` the age in seconds of the oldest running statement.
    """

    holders: tuple[str, ...]
    before: int
    after: int
    stuck: int
    waiting_for_locks: int
    busy: float
    longest: float

    @property
    def turns_over(self) -> bool:
        """Whether nearly every session works in turn: no leak, no jam."""
        most = max(1, self.after)
        return self.stuck <= 0.2 * most and self.waiting_for_locks <= 0.5 * most

    @property
    def text(self) -> str:
        """What was seen, for people."""
        return (
            f"{', '.join(self.holders[:3])} has {self.before} and then {self.after} sessions, "
            f"{self.stuck} of them stuck; {self.busy:.0%} of the sightings were at work, the "
            f"longest statement {self.longest * 1000:.0f} ms old"
        )


def _at_work(session: Session) -> bool:
    """Whether it works, or is between two requests that follow each other at once."""
    return session.state != "idle" or (session.state_age or 1.0) < _HANDED_ON


def _crowd(before: list[Session], after: list[Session]) -> Crowd:
    earlier = {session.pid: session for session in before}
    stuck = [s for s in after if s.pid in earlier and s.same_stay(earlier[s.pid])]
    seen = [*before, *after]
    running = [s for s in seen if s.state == "active"]
    return Crowd(
        holders=tuple(dict.fromkeys(session.holder for session in after)),
        before=len(before),
        after=len(after),
        stuck=len(stuck),
        waiting_for_locks=sum(s.wait_type == "Lock" for s in after),
        busy=sum(map(_at_work, seen)) / len(seen),
        longest=max((s.state_age or 0.0 for s in running), default=0.0),
    )


def crowds(looks: Looks[Sessions]) -> list[Crowd]:
    """The applications on one server, the largest first."""
    before, after = _grouped(looks.first), _grouped(looks.last)
    found = [_crowd(before.get(key, []), group) for key, group in after.items()]
    return sorted(found, key=lambda crowd: crowd.after, reverse=True)


def stuck_holders(looks: Looks[Sessions]) -> Iterator[str]:
    """Applications with a session that stayed in a transaction, or in one statement, from look
    to look, or has waited long for a lock: they keep others of their kind from the pool."""
    earlier = looks.first.by_pid()
    for session in looks.last.clients:
        before = earlier.get(session.pid)
        stays = before is not None and session.state != "idle" and session.same_stay(before)
        waited = (session.lock.seconds or 0.0) if session.lock else 0.0
        if stays or waited >= _LONG_WAIT:
            yield session.holder
