"""How long the sessions of a service last in Redis: counts and times, never a name or a value."""

import math
import time
from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.redis.connection import RedisConnection
from backend_doctor.backends.redis.rights import allow
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

PAGE = 200
MOST_PAGES = 10
MOST_ASKED = 200
"""Keys whose remaining time is asked for; the longest of them is nearly that of the newest."""
_SECONDS = 2.0


class SessionKeys(Fact, frozen=True):
    """Keys that match the declared ``session_keys``, among some 2,000 of the database.

    ``matched`` counts them, ``timed`` those whose remaining time was read, ``endless`` those that
    were asked and have none. ``shortest``, ``median`` and ``longest`` are seconds, None where
    none is timed. ``complete`` when no key of the database was left out.
    """

    seconds_limit: ClassVar[float] = 4.0

    matched: int
    timed: int = 0
    endless: int = 0
    shortest: float | None = None
    median: float | None = None
    longest: float | None = None
    complete: bool = False

    @property
    def bound(self) -> float:
        """Seconds that none of them lasts longer than; infinite where most have no end."""
        return math.inf if self.endless and self.endless >= self.timed else self.longest or 0.0

    @classmethod
    async def collect(cls, redis: RedisConnection, instance: Instance) -> Self:
        """SCAN and PTTL for at most 2 s: 2,000 keys, 200 times.

        Raises Absent where no session_keys are declared, or the user may not look for them.
        """
        pattern = instance.settings.get("session_keys")
        if not isinstance(pattern, str):
            raise Absent("no session_keys are declared", kind=AbsenceKind.NOT_APPLICABLE)
        try:
            if instance.database not in ("", "0"):
                await redis.command("SELECT", instance.database)
            found = await _scanned(redis, pattern)
        except Absent as absent:
            raise Absent(str(absent), remedy=allow(redis.user, pattern)) from absent
        times = sorted(left / 1000 for left in found.times if left >= 0)
        return cls(
            matched=found.matched,
            timed=len(times),
            endless=found.times.count(-1),
            shortest=times[0] if times else None,
            median=times[len(times) // 2] if times else None,
            longest=times[-1] if times else None,
            complete=found.ended,
        )


class _Scan(msgspec.Struct):
    """``times`` as PTTL tells them: milliseconds, -1 without an end, -2 when gone since."""

    matched: int = 0
    times: list[int] = []
    ended: bool = False


async def _scanned(redis: RedisConnection, pattern: str) -> _Scan:
    found, known = _Scan(), set[str]()
    cursor, end = "0", time.monotonic() + _SECONDS
    for _ in range(MOST_PAGES):
        cursor, names = await redis.command("SCAN", cursor, "MATCH", pattern, "COUNT", str(PAGE))
        # SCAN may return a key twice
        fresh = list(set(names) - known)
        known.update(fresh)
        asked = [("PTTL", name) for name in fresh[: MOST_ASKED - len(found.times)]]
        found.times += await redis.commands(asked)
        found.ended = cursor == "0"
        if found.ended or time.monotonic() > end:
            break
    found.matched = len(known)
    return found
