"""The patient: a web shop on its own PostgreSQL and Valkey, all of them small."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from backend_doctor.demo.furnishing import DOCTOR, furnish
from backend_doctor.demo.load import Load
from backend_doctor.demo.servers import PostgresServer, RedisServer
from backend_doctor.demo.servers.postgres import SUPERUSER
from backend_doctor.demo.shop.faults import Fault
from backend_doctor.demo.shop.server import ShopServer
from backend_doctor.demo.shop.settings import (
    APPLICATION,
    CACHE_CONNECTIONS,
    MAX_OVERFLOW,
    POOL_SIZE,
    USABLE_SLOTS,
)
from backend_doctor.errors import UserError

if TYPE_CHECKING:
    import asyncpg
    from redis.asyncio import Redis

SLOTS: dict[str, str | int] = {
    "max_connections": USABLE_SLOTS + 3,
    "superuser_reserved_connections": 1,
    "reserved_connections": 2,
}
MAX_CLIENTS = 20
_CONFIGURATION = """\
services:
  shop:
    workers: {workers}
    postgres:
      url: "{postgres}"
      pool_size: {pool_size}
      max_overflow: {max_overflow}
    redis:
      url: "{redis}"
      max_connections: {max_connections}
"""


@dataclass
class Patient:
    """The shop's processes and servers, and the ways to reach them."""

    postgres: PostgresServer
    redis: RedisServer
    passwords: dict[str, str]
    shops: list[ShopServer] = field(default_factory=list)
    load: Load = field(default_factory=Load)
    _cache: "Redis | None" = None

    @property
    def configuration(self) -> Path:
        """The file for `backend-doctor check --config`; it goes when the demo ends."""
        return self.shops[0].folder / "backend-doctor.yaml"

    def add_process(self) -> None:
        """Start one more process of the shop and send it requests too."""
        shop = ShopServer(
            database_url=self.postgres.url("shop", self.passwords["shop"], "shop"),
            redis_url=self.redis.admin_url(),
        )
        shop.start()
        self.shops.append(shop)
        self.load.addresses.append(shop.address)
        self._describe()

    def remove_processes(self, left: int = 0) -> None:
        """Stop the processes that were started last."""
        while len(self.shops) > left:
            self.load.addresses.pop()
            self.shops.pop().stop()
        if left:
            self._describe()

    def _describe(self) -> None:
        text = _CONFIGURATION.format(
            workers=len(self.shops),
            postgres=self.postgres.url(DOCTOR, self.passwords[DOCTOR], "shop"),
            redis=self.redis.url(DOCTOR, self.passwords[DOCTOR]),
            pool_size=POOL_SIZE,
            max_overflow=MAX_OVERFLOW,
            max_connections=CACHE_CONNECTIONS,
        )
        self.configuration.touch(mode=0o600)
        self.configuration.write_text(text)

    @asynccontextmanager
    async def session(
        self, user: str = "shop", application: str = APPLICATION
    ) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A session on the shop's database; the user may also be the superuser."""
        import asyncpg

        session = await asyncpg.connect(
            self.postgres.url(user, self.passwords[user], "shop"),
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
    async def administered(self) -> AsyncIterator[None]:
        """Keeps a client of the cache meanwhile: a full cache would refuse a new one."""
        from redis.asyncio import Redis

        url = self.redis.admin_url()
        async with Redis.from_url(
            url, client_name="administrator", single_connection_client=True
        ) as self._cache:
            yield

    @property
    def cache(self) -> "Redis":
        """The client of `administered`."""
        if self._cache is None:
            raise RuntimeError("outside of administered()")
        return self._cache

    async def refused_clients(self) -> int:
        """How many clients the cache has turned away."""
        return int((await self.cache.info("stats"))["rejected_connections"])

    async def until(
        self, what: str, reached: Callable[[], Awaitable[bool]], seconds: float = 15.0
    ) -> None:
        """Wait for a state; raises UserError with ``what`` when it does not come."""
        deadline = time.monotonic() + seconds
        while not await reached():
            if time.monotonic() > deadline:
                raise UserError(f"the demo went wrong: waited {seconds:.0f} s for {what}")
            await asyncio.sleep(0.2)

    @asynccontextmanager
    async def mistake(self, fault: Fault) -> AsyncIterator[None]:
        """Every process of the shop makes this mistake meanwhile."""
        await self._switch("PUT", fault)
        try:
            yield
        finally:
            await self._switch("DELETE", fault)

    async def _switch(self, method: str, fault: Fault) -> None:
        import httpx

        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for shop in self.shops:
                response = await client.request(method, f"{shop.address}/faults/{fault}")
                response.raise_for_status()


@contextmanager
def admitted() -> Iterator[Patient]:
    """Starts all of it in temporary folders; whatever happens, nothing of it stays behind."""
    with ExitStack() as stack:
        postgres = PostgresServer(settings=SLOTS, password=token_urlsafe(18))
        redis = RedisServer(settings={"maxclients": MAX_CLIENTS}, password=token_urlsafe(18))
        stack.enter_context(postgres)
        stack.enter_context(redis)
        passwords = asyncio.run(furnish(postgres, redis))
        found = Patient(postgres, redis, passwords)
        stack.callback(found.remove_processes)
        found.add_process()
        yield found
