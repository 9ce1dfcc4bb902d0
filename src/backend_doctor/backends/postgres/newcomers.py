"""Whose sessions come and go: caught while they are young, where many are opened."""

from collections import Counter
from typing import Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.facts import AbsenceKind, Absent, Fact, Looks

CHURN_PER_SECOND = 10.0
# A session of one query lives for milliseconds, so one statement looks 36 times, every 10 ms. The
# view is frozen at its first use in a statement, and a function in FROM runs once, unless its
# argument depends on what comes before it: hence the CASE, which is always NULL.
_SQL = """
SELECT DISTINCT a.pid, (extract(epoch FROM a.backend_start) * 1000000)::int8 AS started_us,
       a.application_name AS application, textsend(r.rolname::text) AS "user",
       host(a.client_addr) AS client
  FROM generate_series(1, 36) AS n,
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


class Churn(msgspec.Struct, frozen=True):
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
        sessions: Looks[Sessions],
    ) -> Self:
        """One statement of 0.4 s.

        Raises Absent where hardly a session comes and goes. Whoever cannot see sessions would
        catch none.
        """
        if churn_of(counters, sessions).rate < CHURN_PER_SECOND:
            raise Absent("hardly a session comes and goes", kind=AbsenceKind.NOT_APPLICABLE)
        caught = {
            (row["pid"], row["started_us"]): (
                row["application"] or "",
                row["user"] or "",
                row["client"] or "",
            )
            for row in await db.fetch(_SQL)
        }
        return cls(
            groups=tuple(
                Newcomer(sessions=count, application=application, user=user, client=client)
                for (application, user, client), count in Counter(caught.values()).most_common(20)
            )
        )
