"""A standby receives what the primary writes and does not replay it."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace, Session
from tests.scenarios.frame.standbys import (
    examine,
    session_at,
    standby_name,
    start_standby,
    until_replayed,
)

LATE = 6.0
MEBIBYTES = 40
RUN = 15.0
_AT_PRIMARY = """
SELECT application_name AS name, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::int8 AS bytes,
       extract(epoch FROM replay_lag)::float8 AS seconds
  FROM pg_stat_replication
"""
_AT_STANDBY = """
SELECT $1::text AS name,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::int8 AS bytes,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS seconds
"""


class ReplicationLag(PostgresFault):
    """Seen from the primary, a report on the standby stands in the way of what vacuum removed; at
    the standby itself, somebody paused its replay. The twin's standby keeps up with as much; or
    nothing is written any more, so that its last commit is old.

    6 seconds are a short lag, which the limits allow for.
    """

    truth = "S23"
    limits: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "postgres.replication": {"warning": LATE},
        "postgres.standby": {"warning": LATE},
    }

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {"max_wal_size": "4GB"}

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"role": "replica"} if place.variant else {}

    async def inject(self, place: PostgresPlace) -> None:
        standby = await start_standby(place, {"max_standby_streaming_delay": -1})
        if place.variant:
            admin = await place.oracle.connection()
            await until_replayed(place, standby)
            examine(place, standby)
            await (await place.oracle.connection()).execute("SELECT pg_wal_replay_pause()")
            await _write(admin, MEBIBYTES)
        else:
            report = await session_at(place, standby, place.names.jobs[0])
            await report.execute(
                f"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {place.names.table}"
            )
            owner = await place.connect(place.names.application)
            await owner.execute(f"DELETE FROM {place.names.table} WHERE id > 100")
            for _ in range(2):
                await asyncio.sleep(0.3)
                await owner.execute(f"VACUUM {place.names.table}")
            await _write(await place.oracle.connection(), MEBIBYTES)
        await asyncio.sleep(LATE + 2)

    async def inject_twin(self, place: PostgresPlace) -> None:
        standby = await start_standby(place)
        if place.variant:
            admin = await place.oracle.connection()
            await _write(admin, MEBIBYTES)
            examine(place, standby)
        else:
            place.run(_write_on(place))
        await asyncio.sleep(LATE + 2)

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        there = await admin.fetchval("SELECT pg_is_in_recovery()")
        rows = await (
            admin.fetch(_AT_STANDBY, standby_name(place)) if there else admin.fetch(_AT_PRIMARY)
        )
        seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
        return {
            "standbys": [row["name"] for row in rows],
            "lag_bytes": [row["bytes"] for row in rows],
            "lag_seconds": seconds,
            # of one that stands still it grew by a second each second while the doctor looked
            "lag_while_looking": [one - before for one in seconds for before in (0.0, RUN)],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        waiting, seconds = facts["lag_bytes"], facts["lag_seconds"]
        if not twin:
            return unless(
                {
                    "much is to be replayed": min(waiting, default=0) >= 17 * 2**20,
                    "for long": min(seconds, default=0.0) > LATE,
                }
            )
        if place.variant:
            old = min(seconds, default=0.0) > LATE
            return unless({"the last commit is old": old, "nothing waits": not any(waiting)})
        return unless({"it keeps up": max(seconds, default=0.0) < LATE / 3})


async def _write(admin: Session, mebibytes: int) -> None:
    for _ in range(mebibytes):
        await admin.fetch("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1048576))")
    await admin.execute("SELECT txid_current()")


async def _write_on(place: PostgresPlace) -> None:
    writer = await place.connect(place.names.application)
    await writer.execute(f"CREATE TABLE {place.names.table}_log (id int, label text)")
    while True:
        await writer.execute(
            f"INSERT INTO {place.names.table}_log"
            " SELECT id, repeat('x', 1000) FROM generate_series(1, 3000) AS id"
        )
        await asyncio.sleep(0.4)


SCENARIO = Scenario("S23", (Placement(ReplicationLag()),))
