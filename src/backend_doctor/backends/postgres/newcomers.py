"""Whose sessions come and go: caught while they are young, where many are opened."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.facts import AbsenceKind, Absent, Fact, Looks

CHURN_PER_SECOND = 10.0
_SAMPLES = 3
_PAUSE = 0.05
_ENOUGH = 12
# A session of one query lives for milliseconds, so one statement looks twelve times, every
# 10 ms. The view is frozen at its first use in a statement, and a function in FROM runs once,
# unless its argument depends on what comes before it: hence the CASE, which is always NULL.
_SQL = """
SELECT DISTINCT a.pid, (extract(epoch FROM a.backend_start) * 1000000)::int8 AS started_us,
       a.application_name AS application, textsend(r.rolname::text) AS "user",
       host(a.client_addr) AS client
  FROM generate_series(1, 12) AS n,
       LATERAL (SELECT pg_sleep(0.01)::text || pg_stat_clear_snapshot()::text AS done
                 WHERE n > 0 OFFSET 0) AS tick,
       LATERAL pg_stat_get_activity(CASE WHEN tick.done IS NULL THEN n END) AS a
  LEFT JOIN pg_roles r ON r.oid = a.usesysid
 WHERE a.pid <> pg_backend_pid() AND a.backend_type = 'client backend' AND a.datid <> 0
   AND a.backend_start > clock_timestamp() - interval '1 second'
 LIMIT 500
"""


class Newcomer(msgspec.Struct, frozen=True, kw_only=True):
    """``sessions`` of one application, user and client address ("" for a unix socket)."""

    sessions: int
    application: str = ""
    user: str = ""
    client: str = ""

    @property
    def holder(self) -> str:
        """Who it is, for people: the application's name, else user and client."""
        return self.application or f"{self.user}@{self.client or 'local'}"


@dataclass(frozen=True)
class Churn:
    """Sessions ``opened`` within the window of ``seconds``, and how many of them ``passed``."""

    opened: int
    passed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Sessions a second that did not last."""
        return self.passed / self.seconds if self.seconds else 0.0


def churn_of(counters: Looks[Counters], sessions: Looks[Sessions] | None) -> Churn:
    """What was opened and did not last: a pool that grows keeps its own."""
    opened = max(0, counters.last.sessions - counters.first.sessions)
    grown = len(sessions.last.clients) - len(sessions.first.clients) if sessions else 0
    return Churn(opened, max(0, opened - max(0, grown)), counters.seconds)


class Newcomers(Fact, frozen=True):
    """Sessions younger than a second, by application, user and client, the most first."""

    groups: tuple[Newcomer, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(group.sessions for group in self.groups)

    @classmethod
    async def collect(
        cls,
        db: PostgresConnection,
        counters: Looks[Counters],
        sessions: Looks[Sessions] | None,
    ) -> Self:
        """Up to three statements of 120 ms, until enough are caught.

        Raises Absent where hardly a session comes and goes.
        """
        if churn_of(counters, sessions).rate < CHURN_PER_SECOND:
            raise Absent("hardly a session comes and goes", kind=AbsenceKind.NOT_APPLICABLE)
        caught: dict[tuple[int, int], tuple[str, str, str]] = {}
        for sample in range(_SAMPLES):
            if sample:
                await asyncio.sleep(_PAUSE)
            for row in await db.fetch(_SQL):
                who = (row["application"] or "", row["user"] or "", row["client"] or "")
                caught[row["pid"], row["started_us"]] = who
            if len(caught) >= _ENOUGH:
                break
        return cls(
            groups=tuple(
                Newcomer(sessions=count, application=application, user=user, client=client)
                for (application, user, client), count in Counter(caught.values()).most_common(20)
            )
        )
