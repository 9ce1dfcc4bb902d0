"""A process whose cache grows at a steady pace: without a bound, or up to a cap as an LRU cache.

Keys of the task: ``bytes_per_second``, ``cap`` (bytes, 0 for none). It prints 0 for its port when
it is ready and runs until its input ends.
"""

import asyncio
import json
import sys
import time
from collections import OrderedDict

PIECE = 4000
STEP = 0.1


async def _grow(pace: int, cap: int) -> None:
    cache: OrderedDict[int, bytes] = OrderedDict()
    began, number = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * pace / PIECE)
        while number < due:
            number += 1
            cache[number] = b"%d" % number * (PIECE // len(str(number)))
            if cap and len(cache) * PIECE > cap:
                cache.popitem(last=False)
        await asyncio.sleep(STEP)


async def _serve(task: dict[str, int]) -> None:
    growing = asyncio.create_task(_grow(task["bytes_per_second"], task["cap"]))
    print(0, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    growing.cancel()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
