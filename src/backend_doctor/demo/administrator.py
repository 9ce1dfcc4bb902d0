"""Who runs the shop's servers: looks and acts on them with an administrator's rights."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from backend_doctor.demo.servers import PostgresServer, RedisServer
from backend_doctor.demo.servers.postgres import SUPERUSER
from backend_doctor.demo.shop.settings import APPLICATION

if TYPE_CHECKING:
    import asyncpg
    from redis.asyncio import Redis


class Administrator:
    """Sessions on the database, and one lasting client of the cache."""

    def __init__(
        self, postgres: PostgresServer, redis: RedisServer, passwords: Mapping[str, str]
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._passwords = passwords
        self._cache: Redis | None = None

    @asynccontextmanager
    async def session(
        self, user: str = "shop", application: str = APPLICATION
    ) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A session on the shop's database; the user may also be the superuser."""
        import asyncpg

        session = await asyncpg.connect(
            self._postgres.url(user, self._passwords[user], "shop"),
            ssl=False,
            server_settings={"application_name": application},
        )
        try:
            yield session
        finally:
            session.terminate()

    async def end_sessions(self, condition: str) -> None:
        """End the sessions in this state of pg_stat_activity, and wait until they are gone."""
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE"
        async with self.session(SUPERUSER, "demo") as session:
            await session.fetch(f"{query} {condition}")

    async def sessions(self, condition: str) -> int:
        """How many of the shop's sessions are in this state of pg_stat_activity."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop' AND {condition}"
        async with self.session(SUPERUSER, "demo") as session:
            return int(await session.fetchval(query))

    @asynccontextmanager
    async def at_the_cache(self) -> AsyncIterator[None]:
        """Keeps a client of the cache meanwhile: a full cache would refuse a new one."""
        from redis.asyncio import Redis

        url = self._redis.admin_url()
        async with Redis.from_url(
            url, client_name="administrator", single_connection_client=True
        ) as self._cache:
            yield

    async def refused_clients(self) -> int:
        """How many clients the cache has turned away."""
        if self._cache is None:
            raise RuntimeError("outside of at_the_cache()")
        return int((await self._cache.info("stats"))["rejected_connections"])
