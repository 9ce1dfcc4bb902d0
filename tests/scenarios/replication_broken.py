"""A standby receives nothing from its primary any more, and answers all the same."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.apps import browse
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.standbys import examine, start_standby, until_replayed

_FOLLOWS = """
SELECT pg_is_in_recovery() AS standby,
       (SELECT count(*) FROM pg_stat_wal_receiver)::int AS receivers,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS age
"""
_LOST = ("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1 user=nobody'",)
_FED = ("ALTER SYSTEM SET primary_conninfo = ''", "ALTER SYSTEM SET restore_command = 'false'")
QUIET = 4.0
RUN = 15.0


class ReplicationBroken(PostgresFault):
    """The primary is gone; or its address in the standby's configuration is wrong. The twin's
    primary writes nothing; or its standby is fed from an archive, which has nothing new."""

    truth = "S26"
    background = 0

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"role": "replica"}

    async def inject(self, place: PostgresPlace) -> None:
        await _follow(place, stops=not place.variant, changes=_LOST if place.variant else ())

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _follow(place, stops=False, changes=_FED if place.variant else ())

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        row = await admin.fetchrow(_FOLLOWS)
        assert row is not None
        return {
            "standby": [row["standby"]],
            "receivers": [row["receivers"]],
            # it grew by a second each second while the doctor looked
            "commit_age_while_looking": [row["age"] - before for before in (0.0, RUN)],
            "commit_age": [row["age"]],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        receives = twin and not place.variant
        return unless(
            {
                "it is a standby": set(facts["standby"]) == {True},
                "it receives or not": set(facts["receivers"]) == {int(receives)},
                "its last commit is old": min(facts["commit_age"]) >= QUIET,
            }
        )


async def _follow(place: PostgresPlace, *, stops: bool, changes: tuple[str, ...]) -> None:
    standby = await start_standby(place)
    await until_replayed(place, standby)
    primary = place.server
    await place.oracle.leave()
    examine(place, standby)
    admin = await place.oracle.connection()
    for change in changes:
        await admin.execute(change)
    await admin.execute("SELECT pg_reload_conf()")
    if stops:
        await asyncio.to_thread(primary.halt)
        place.jobs.push_async_callback(asyncio.to_thread, primary.restart)
    for _ in range(2):
        place.run(browse(place, place.names.application, place.names.table, 0.05))
    await asyncio.sleep(QUIET)


SCENARIO = Scenario("S26", (Placement(ReplicationBroken()),))
