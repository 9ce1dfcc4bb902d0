"""How the shop connects to what it stands on: by default one pool for each backend."""

from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from backend_doctor.demo.shop.settings import APPLICATION, Settings

BACKEND_SECONDS = 1.5
"""How long a request waits for a backend that does not answer."""


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
        settings.redis_url,
        client_name=APPLICATION,
        max_connections=settings.redis_connections,
        socket_timeout=BACKEND_SECONDS,
    )


def make_documents(settings: Settings) -> "AsyncIOMotorClient[dict[str, Any]]":
    """A client of the document store; the URL names its database."""
    return AsyncIOMotorClient(
        settings.mongodb_url,
        appname=APPLICATION,
        maxPoolSize=settings.mongodb_pool,
        serverSelectionTimeoutMS=BACKEND_SECONDS * 1000,
        waitQueueTimeoutMS=BACKEND_SECONDS * 1000,
    )
