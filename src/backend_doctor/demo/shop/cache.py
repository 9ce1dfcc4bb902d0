"""Cache-aside: read from the cache, or else from the source, and remember."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

CACHE_SECONDS = 2

Row = dict[str, Any]


async def cached(cache: Redis, key: str, read: Callable[[], Awaitable[Row | None]]) -> Row | None:
    """What the cache holds under the key, or what ``read`` finds; None is not remembered."""
    known = await cache.get(key)
    if known is not None:
        found: Row = json.loads(known)
        return found
    row = await read()
    if row is not None:
        await cache.set(key, json.dumps(row), ex=CACHE_SECONDS)
    return row
