"""How the shop connects: one engine and one cache client, by default each with its pool."""

from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from backend_doctor.demo.shop.settings import (
    APPLICATION,
    CACHE_CONNECTIONS,
    MAX_OVERFLOW,
    POOL_SECONDS,
    POOL_SIZE,
    Settings,
)

POOL = {"pool_size": POOL_SIZE, "max_overflow": MAX_OVERFLOW, "pool_timeout": POOL_SECONDS}


def make_engine(settings: Settings, **pool: Any) -> AsyncEngine:
    """An engine with these options of its pool."""
    return create_async_engine(
        settings.database_url,
        connect_args={"server_settings": {"application_name": APPLICATION}},
        **pool,
    )


def make_cache(settings: Settings) -> Redis:
    """A client of the cache with a pool of its own."""
    return Redis.from_url(
        settings.redis_url, client_name=APPLICATION, max_connections=CACHE_CONNECTIONS
    )
