"""A cache without a bound; from outside, and in so short a time, only its growth can be seen."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.scenarios.frame.fault import OwnFault, Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace

PACE = 2_000_000
CAP = 400_000_000
LOOK_SECONDS = 3.0


class MemUnboundedCache(OwnFault):
    """2 MB more each second; the twin is an LRU cache that is still filling."""

    kind = "process"
    truth = "M01"
    sample_for = 30.0

    async def inject(self, place: OwnPlace) -> None:
        await place.start("grower.py", {"bytes_per_second": PACE, "cap": 0})

    async def inject_twin(self, place: OwnPlace) -> None:
        await place.start("grower.py", {"bytes_per_second": PACE, "cap": CAP})

    def entries(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"process": {"pid": place.application.pid}}

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        pid, began = place.application.pid, time.monotonic()
        before = _anonymous_bytes(pid)
        await asyncio.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - began
        return {"pid": [pid], "bytes_per_minute": [(_anonymous_bytes(pid) - before) / seconds * 60]}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        return unless({"it grows": min(facts["bytes_per_minute"]) > 0.7 * PACE * 60})


def _anonymous_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


SCENARIO = Scenario("M01", (Placement(MemUnboundedCache()),))
