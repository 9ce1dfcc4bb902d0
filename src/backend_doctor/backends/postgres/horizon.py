"""Who keeps old row versions alive: everything that holds the xmin horizon, by kind."""

from collections.abc import Iterable
from typing import Any, Literal, Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.transactions import is_backup, span
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.facts import Absent, Fact, Looks

# A running transaction that has written holds the horizon by its own number, snapshot or not.
# VACUUM itself does not count, nor does a walsender that decodes: its slot stands for it.
# to_jsonb gives a column that only newer versions have (inactive_since: 17).
_HOLDERS = """
SELECT CASE a.backend_type WHEN 'walsender' THEN 'standby' ELSE 'session' END AS kind,
       textsend(a.application_name) AS name, textsend(a.usename::text) AS "user",
       textsend(a.datname::text) AS database, host(a.client_addr) AS client, a.pid,
       (extract(epoch FROM a.backend_start) * 1000000)::int8 AS started_us,
       (extract(epoch FROM a.xact_start) * 1000000)::int8 AS transaction_us,
       CASE WHEN a.backend_type <> 'walsender'
            THEN (extract(epoch FROM clock_timestamp() - a.xact_start))::float8 END AS seconds,
       greatest(age(a.backend_xmin), age(a.backend_xid)) AS xids, NULL::int AS catalog_xids,
       true AS active, textsend(current_database()::text) AS here
  FROM pg_stat_activity a
 WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
   AND a.pid <> pg_backend_pid()
   AND a.backend_type NOT IN ('autovacuum worker', 'parallel worker')
   AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
   AND NOT EXISTS (SELECT FROM pg_replication_slots s
                    WHERE s.active_pid = a.pid AND s.slot_type = 'logical')
UNION ALL
SELECT 'prepared', textsend(p.gid), textsend(p.owner::text), textsend(p.database::text), NULL,
       NULL, NULL, NULL, (extract(epoch FROM clock_timestamp() - p.prepared))::float8,
       age(p.transaction), NULL, true, textsend(current_database()::text)
  FROM pg_prepared_xacts p
UNION ALL
SELECT 'slot', textsend(s.slot_name::text), NULL, textsend(s.database::text), NULL, s.active_pid,
       NULL, NULL, (extract(epoch FROM clock_timestamp()
         - (to_jsonb(s) ->> 'inactive_since')::timestamptz))::float8,
       age(s.xmin), age(s.catalog_xmin), s.active, textsend(current_database()::text)
  FROM pg_replication_slots s WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL
 ORDER BY 10 DESC NULLS LAST LIMIT 1000
"""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """One that keeps old row versions alive.

    ``name`` is the application of a session or standby, the gid of a prepared transaction, the
    slot's name. ``seconds``: the transaction's age, or for how long a slot has been inactive
    (17 and later); ``xids`` its age in transactions, None where it holds catalogues only
    (``catalog_xids``). Times ``*_us`` in microseconds since 1970.
    """

    kind: Literal["session", "prepared", "slot", "standby"]
    name: str = ""
    user: str = ""
    database: str = ""
    client: str = ""
    pid: int | None = None
    started_us: int | None = None
    transaction_us: int | None = None
    seconds: float | None = None
    xids: int | None = None
    catalog_xids: int | None = None
    active: bool = True

    @property
    def backup(self) -> bool:
        """Whether it is a backup, which ends by itself."""
        return self.kind == "session" and is_backup(self.name)

    @property
    def text(self) -> str:
        """Who it is, for people."""
        age = f", {span(self.seconds)} old" if self.seconds is not None else ""
        if self.kind == "session":
            who = self.name or f"{self.user}@{self.client or 'local'}"
            return f"the transaction of pid {self.pid} ({who}{age})"
        if self.kind == "prepared":
            return f"the prepared transaction {self.name} (of {self.user}{age})"
        if self.kind == "standby":
            return f"the standby {self.name or self.client} (hot_standby_feedback)"
        return f"the replication slot {self.name} ({'active' if self.active else 'inactive'})"

    def same_transaction(self, session: Session) -> bool:
        """Whether a look at the sessions shows this very transaction."""
        seen = (session.pid, session.started_us, session.transaction_us)
        return self.kind == "session" and seen == (self.pid, self.started_us, self.transaction_us)


class Horizon(Fact, frozen=True):
    """All who hold the xmin horizon, oldest first; ``database`` is the connected one."""

    holders: tuple[Holder, ...]
    database: str = ""

    def of(self, *kinds: str) -> tuple[Holder, ...]:
        """The holders of these kinds."""
        return tuple(holder for holder in self.holders if holder.kind in kinds)

    @property
    def here(self) -> tuple[Holder, ...]:
        """Those who keep vacuum from the user tables of the connected database: its own
        transactions, and slots and standbys, which hold all databases."""
        return tuple(
            holder
            for holder in self.holders
            if holder.xids
            and (holder.kind in ("slot", "standby") or holder.database == self.database)
        )

    @classmethod
    async def collect(
        cls, db: PostgresConnection, slots: Slots, sessions: Looks[Sessions] | None
    ) -> Self:
        """One statement, after both looks at the sessions, so that what it says of them is of
        the same moment. Raises Absent for a role that cannot see other sessions."""
        del sessions
        if not slots.sees_all:
            raise Absent(
                f"role {slots.role} cannot see who holds old snapshots",
                remedy=f"GRANT pg_monitor TO {quote_identifier(slots.role)};",
            )
        rows = await db.fetch(_HOLDERS)
        return cls(holders=tuple(map(_holder, rows)), database=rows[0]["here"] if rows else "")


def _holder(row: dict[str, Any]) -> Holder:
    return Holder(
        **{name: value for name, value in row.items() if value is not None and name != "here"}
    )


def stands_still(holder: Holder, sessions: Looks[Sessions] | None) -> bool:
    """Whether it holds the horizon where it was over the whole window: for a session, the same
    transaction with the same snapshot or the same number of its own in both looks."""
    if holder.kind != "session":
        return True
    if sessions is None:
        return False
    first, last = (
        next((s for s in look.sessions if holder.same_transaction(s)), None)
        for look in (sessions.first, sessions.last)
    )
    if first is None or last is None:
        return False
    same_xmin = last.xmin is not None and last.xmin == first.xmin
    return same_xmin or (last.xid is not None and last.xid == first.xid)


def lasting(
    horizon: Horizon, sessions: Looks[Sessions] | None, long_seconds: float
) -> tuple[tuple[Holder, ...], tuple[Holder, ...]]:
    """Who holds the horizon where it is, and who would hold it next, of those that stand still
    or are ``long_seconds`` old.

    Whoever is younger may have begun after the rows died, and then holds none of them.
    """
    found = [
        holder
        for holder in horizon.here
        if stands_still(holder, sessions) or (holder.seconds or 0.0) >= long_seconds
    ]
    oldest = max((holder.xids or 0 for holder in found), default=0)
    first = tuple(holder for holder in found if holder.xids == oldest)
    younger = (holder for holder in found if holder.xids != oldest)
    return first, tuple(sorted(younger, key=lambda holder: holder.xids or 0, reverse=True))


def held_by(holders: Iterable[Holder], sessions: Sessions | None) -> list[Session]:
    """The sessions whose transactions these are, as a look shows them."""
    seen = sessions.sessions if sessions else ()
    return [s for holder in holders for s in seen if holder.same_transaction(s)]
