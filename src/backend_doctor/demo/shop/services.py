"""The shop's services, wired to their backends for as long as the process runs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from backend_doctor.demo.shop.accounts import Accounts
from backend_doctor.demo.shop.backends import make_cache, make_documents, make_engine
from backend_doctor.demo.shop.catalogue import Catalogue, ProductRepository
from backend_doctor.demo.shop.events import publisher
from backend_doctor.demo.shop.faults import Faults
from backend_doctor.demo.shop.orders import OrderService
from backend_doctor.demo.shop.settings import Settings
from backend_doctor.demo.shop.tokens import Tokens


@dataclass(frozen=True)
class Services:
    """What requests are answered by."""

    accounts: Accounts
    catalogue: Catalogue
    orders: OrderService
    tokens: Tokens
    _engine: AsyncEngine
    _cache: Redis
    _documents: "AsyncIOMotorClient[dict[str, object]]"

    async def ready(self) -> None:
        """Asks each backend for an answer; raises what the first that has none raised."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        await self._cache.get("ready")
        await self._documents.get_default_database().command("ping")


@asynccontextmanager
async def services(settings: Settings, faults: Faults) -> AsyncIterator[Services]:
    """Opens the pools, and closes them at the end."""
    async with AsyncExitStack() as stack:
        engine = make_engine(settings, **settings.pool)
        stack.push_async_callback(engine.dispose)
        cache = make_cache(settings)
        stack.push_async_callback(cache.aclose)
        documents = make_documents(settings)
        stack.callback(documents.close)
        sessions = async_sessionmaker(engine)
        products = documents.get_default_database()["products"]
        catalogue = Catalogue(ProductRepository(products), cache)
        events = await stack.enter_async_context(publisher(settings, catalogue.sold))
        yield Services(
            accounts=Accounts(sessions),
            catalogue=catalogue,
            orders=OrderService(sessions, cache, events, settings, faults),
            tokens=Tokens(settings, cache, faults),
            _engine=engine,
            _cache=cache,
            _documents=documents,
        )
