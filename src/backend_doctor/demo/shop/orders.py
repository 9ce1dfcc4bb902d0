"""What the shop does with orders: looks them up through a cache, invoices, sells, reports."""

from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.pool import NullPool

from backend_doctor.demo.shop.backends import make_cache, make_engine
from backend_doctor.demo.shop.cache import cached
from backend_doctor.demo.shop.events import Publisher
from backend_doctor.demo.shop.faults import Fault, Faults
from backend_doctor.demo.shop.repository import OrderRepository
from backend_doctor.demo.shop.settings import Settings

AUDIT_SECONDS = 0.25
TURNOVER_SECONDS = 0.05


class InvoiceError(Exception):
    """An invoice cannot be made."""


class OrderService:
    """The shop's use cases."""

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        cache: Redis,
        publisher: Publisher,
        settings: Settings,
        faults: Faults,
    ) -> None:
        self._sessions = sessions
        self._cache = cache
        self._publisher = publisher
        self._settings = settings
        self._faults = faults

    async def get(self, order: int) -> dict[str, Any] | None:
        """An order, from the cache or else from the database."""

        async def read() -> dict[str, Any] | None:
            async with self._sessions() as session:
                return await OrderRepository(session).find(order)

        return await cached(self._cache, f"order:{order}", read)

    async def invoice(self, order: int) -> dict[str, Any] | None:
        """An order with its tax."""
        if Fault.SESSIONS_KEPT in self._faults.on:
            await self._fail_and_keep_session(order)
        async with self._sessions.begin() as session:
            row = await OrderRepository(session).find(order)
        return row and {**row, "tax": row["cents"] * 19 // 100}

    async def sell(self, product: int) -> int:
        """Sell one; returns what is left."""
        async with self._sessions.begin() as session:
            repository = OrderRepository(session)
            left = await repository.take_from_stock(product)
            if Fault.AUDIT_UNDER_LOCK in self._faults.on:
                await repository.turnover(product, AUDIT_SECONDS)
        await self._publisher.product_sold(product)
        return left

    async def popularity(self, product: int) -> int:
        """How often a product was ordered."""
        if Fault.CLIENTS_KEPT in self._faults.on:
            await self._count_visit_and_keep_client(product)
        if Fault.ENGINE_PER_REQUEST in self._faults.on:
            return await self._popularity_by_own_engine(product)
        async with self._sessions() as session:
            orders = await OrderRepository(session).count_orders(product)
        visits: dict[int, int] = {}
        return orders + visits[product] if Fault.CRASH in self._faults.on else orders

    async def turnover(self, product: int) -> int:
        """Cents that a product has earned: the shop's slowest request."""
        async with self._sessions() as session:
            return await OrderRepository(session).turnover(product, TURNOVER_SECONDS)

    async def _fail_and_keep_session(self, order: int) -> None:
        session = self._sessions()
        await OrderRepository(session).find(order)
        await self._faults.keep(Fault.SESSIONS_KEPT, session.invalidate)
        raise InvoiceError("no tax rate for this order")

    async def _count_visit_and_keep_client(self, product: int) -> None:
        cache = make_cache(self._settings)
        await cache.incr(f"visits:{product}")
        await self._faults.keep(Fault.CLIENTS_KEPT, cache.aclose)

    async def _popularity_by_own_engine(self, product: int) -> int:
        engine = make_engine(self._settings, poolclass=NullPool)
        async with AsyncSession(engine) as session:
            return await OrderRepository(session).count_orders(product)
