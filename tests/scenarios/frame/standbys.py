"""A second server that is copied from the place's own and follows it."""

import asyncio
from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.oracle import PostgresOracle, until_true
from tests.scenarios.frame.place import PostgresPlace, Session
from tests.servers.standby import StandbyServer

_TRANSACTIONS = """
DO $$ BEGIN FOR number IN 1..{count} LOOP
  PERFORM pg_current_xact_id(); COMMIT;
END LOOP; END $$
"""


def standby_name(place: PostgresPlace) -> str:
    """What the standby, or its slot, is called."""
    return f"{place.names.other}_{place.seed % 7}".replace("-", "_")


async def start_standby(
    place: PostgresPlace, settings: Mapping[str, int | str] | None = None, slot: str = ""
) -> StandbyServer:
    """A standby of the place's server, through a ``slot`` if named; stopped with the fault."""
    own = {"log_connections": "on", "wal_receiver_status_interval": "1s", **(settings or {})}
    standby = StandbyServer(place.server, name=standby_name(place), settings=own, slot=slot)
    await asyncio.to_thread(standby.start)
    place.jobs.push_async_callback(asyncio.to_thread, standby.stop)
    return standby


async def session_at(place: PostgresPlace, standby: StandbyServer, application: str) -> Session:
    """A session of the application's role at the standby, ended with the fault."""
    url = standby.url(place.names.role, None, place.names.database)
    session = await asyncpg.connect(url, server_settings={"application_name": application})

    async def end() -> None:
        session.terminate()

    place.jobs.push_async_callback(end)
    return session


def examine(place: PostgresPlace, standby: StandbyServer) -> None:
    """Sends the doctor and the oracle to the standby until the fault is undone."""
    primary, eyes = place.server, place.oracle

    async def back() -> None:
        await place.oracle.leave()
        place.server, place.oracle = primary, eyes

    place.jobs.push_async_callback(back)
    place.server = standby
    place.oracle = PostgresOracle(standby.admin_url(place.names.database))


async def until_replayed(place: PostgresPlace, standby: StandbyServer) -> None:
    """Commits at the place's server, and waits until a standby knows of a commit."""
    await pass_by(place, 1)
    there = await asyncpg.connect(standby.admin_url())
    try:
        await until_true(there, "SELECT pg_last_xact_replay_timestamp() IS NOT NULL")
    finally:
        await there.close()


async def pass_by(place: PostgresPlace, transactions: int) -> None:
    """Lets so many transactions of the application come and go."""
    owner = await asyncpg.connect(place.url())
    try:
        await owner.execute(_TRANSACTIONS.format(count=transactions))
    finally:
        await owner.close()
