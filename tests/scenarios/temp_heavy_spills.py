"""Reports write their interim results to temporary files, one after the other."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.doctor import WINDOW
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.statements import call, furnish

LEAST = 100 * 2**20
WIDE = 1000
_WRITTEN = "SELECT temp_bytes::int8 AS bytes, temp_files FROM pg_stat_database WHERE datname = $1"


class TempHeavySpills(PostgresFault):
    """Reports that nobody counts keep their rows in files; or nine that are counted do, none of
    which stands out. The twin writes small files all the time; or one report writes one large
    file now and then."""

    truth = "S19"
    background = 1

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        return {
            "shared_preload_libraries": "pg_stat_statements",
            "work_mem": "1MB",
            "max_parallel_workers_per_gather": 0,
            "jit": "off",
        }

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"pool_size": 10}

    async def inject(self, place: PostgresPlace) -> None:
        if place.variant:
            await furnish(place)
            for kind in range(9):
                place.run(call(place, _sorts(25_000, kind), pause=1.0))
        else:
            for _ in range(4):
                place.run(call(place, _keeps(30_000), pause=0.3))

    async def inject_twin(self, place: PostgresPlace) -> None:
        if place.variant:
            await furnish(place)
            place.run(call(place, _sorts(150_000, 0), pause=9))
        else:
            for _ in range(3):
                place.run(call(place, _keeps(2000), pause=0.3))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await place.oracle.connection()
        name, began = place.names.database, time.monotonic()
        first = await admin.fetch(_WRITTEN, name)
        await asyncio.sleep(2)
        last = await admin.fetch(_WRITTEN, name)
        seconds = time.monotonic() - began
        pace = (last[0]["bytes"] - first[0]["bytes"]) / seconds
        return {
            "temp_bytes": [last[0]["bytes"]],
            "temp_files": [last[0]["temp_files"]],
            "temp_bytes_per_second": [pace],
            "temp_bytes_of_window": [pace * WINDOW],
            "database": [name],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        pace = facts["temp_bytes_per_second"]
        if twin:
            return unless({"files were written": min(facts["temp_bytes"]) > 10 * 2**20})
        return unless({"100 MB a second are written": min(pace) >= 1.2 * LEAST})


def _keeps(rows: int) -> str:
    """A report that keeps its rows for later parts, which then do not need them twice."""
    made = f"SELECT id, repeat('y', {WIDE}) AS label FROM generate_series(1, {rows}) AS id"
    return f"WITH report AS MATERIALIZED ({made}) SELECT count(*) FROM report"


def _sorts(rows: int, kind: int) -> str:
    """A report of its own kind, so that it is counted apart from the others."""
    columns = ", ".join(["label", *(f"id AS id{number}" for number in range(kind))])
    made = f"SELECT id, repeat('y', {WIDE}) AS label FROM generate_series(1, {rows}) AS id"
    inner = f"SELECT {columns} FROM ({made}) AS made ORDER BY id OFFSET 0"
    return f"SELECT count(label) FROM ({inner}) AS report"


SCENARIO = Scenario("S19", (Placement(TempHeavySpills()),))
