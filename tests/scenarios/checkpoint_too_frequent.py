"""WAL fills its room again and again, and each time a checkpoint is forced."""

import asyncio
import time
from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.doctor import WINDOW
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts, Row
from tests.scenarios.frame.place import PostgresPlace, Session

LEAST = 3
_COUNTS = (
    "SELECT {requested}, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8 AS bytes FROM {view}"
)
_BEFORE_17 = _COUNTS.format(requested="checkpoints_req AS requested", view="pg_stat_bgwriter")
_SINCE_17 = _COUNTS.format(requested="num_requested AS requested", view="pg_stat_checkpointer")


class CheckpointTooFrequent(PostgresFault):
    """A bulk load into 32 MB, or updates that rewrite whole pages (variant 1); the twin's load has
    1 GB, or somebody asks for the checkpoints."""

    truth = "S36"

    def __init__(self) -> None:
        self._first: dict[int, tuple[float, Row]] = {}

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        room = "1GB" if twin else "32MB"
        return {"max_wal_size": room, "min_wal_size": "32MB", "full_page_writes": "on"}

    async def inject(self, place: PostgresPlace) -> None:
        names = place.names
        connection = await place.connect(names.application)
        await connection.execute(
            f"CREATE TABLE {names.table}_new (LIKE {names.table});"
            f"INSERT INTO {names.table}_new SELECT n, n, repeat('x', 900)"
            " FROM generate_series(1, 8000) AS n"
        )
        place.run((_update if place.variant else _load)(place, connection))
        await self._begin(place)

    async def inject_twin(self, place: PostgresPlace) -> None:
        if not place.variant:
            await self.inject(place)
            return
        admin = await asyncpg.connect(place.server.admin_url())
        place.jobs.push_async_callback(admin.close)
        place.run(_ask_for_them(admin))
        await self._begin(place)

    async def _begin(self, place: PostgresPlace) -> None:
        self._first[id(place)] = (time.monotonic(), await _counts(place))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        began, first = self._first[id(place)]
        last, seconds = await _counts(place), time.monotonic() - began
        requested = last["requested"] - first["requested"]
        return {
            "requested": [requested],
            "requested_in_window": [requested / seconds * WINDOW],
            "wal_bytes_per_second": [(last["bytes"] - first["bytes"]) / seconds],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        requested, rate = facts["requested"][0], facts["wal_bytes_per_second"][0]
        by_load = not (twin and place.variant)
        return unless(
            {
                "checkpoints are asked for": requested >= LEAST or (twin and by_load),
                "none for the load of the twin": requested == 0 or not (twin and by_load),
                "much is written or nothing": (rate > 10e6) == by_load,
            }
        )


async def _counts(place: PostgresPlace) -> Row:
    admin = await place.oracle.connection()
    rows = await admin.fetch(_SINCE_17 if place.version >= 17 else _BEFORE_17)
    first: Row = rows[0]
    return first


async def _load(place: PostgresPlace, connection: Session) -> None:
    table = f"{place.names.table}_new"
    while True:
        await connection.execute(
            f"TRUNCATE {table}; INSERT INTO {table} SELECT n, n, repeat('x', 900)"
            " FROM generate_series(1, 8000) AS n"
        )
        await asyncio.sleep(0.15)


async def _update(place: PostgresPlace, connection: Session) -> None:
    names = place.names
    while True:
        await connection.execute(
            f"UPDATE {names.table}_new SET {names.column} = {names.column} + 1"
        )
        await connection.execute(f"VACUUM {names.table}_new")
        await asyncio.sleep(0.15)


async def _ask_for_them(admin: Session) -> None:
    while True:
        await admin.execute("CHECKPOINT")
        await asyncio.sleep(0.6)


SCENARIO = Scenario("S36", (Placement(CheckpointTooFrequent()),))
