"""The products: documents with their texts and how often each was sold, read through a cache."""

from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection
from redis.asyncio import Redis

from backend_doctor.demo.shop.cache import cached


class ProductRepository:
    """The collection of products."""

    def __init__(self, products: "AsyncIOMotorCollection[dict[str, Any]]") -> None:
        self._products = products

    async def find(self, product: int) -> dict[str, Any] | None:
        """A product by its id."""
        return await self._products.find_one({"_id": product})

    async def add_sale(self, product: int) -> None:
        """One more was sold."""
        await self._products.update_one({"_id": product}, {"$inc": {"sold": 1}})


class Catalogue:
    """What customers see of the products."""

    def __init__(self, products: ProductRepository, cache: Redis) -> None:
        self._products = products
        self._cache = cache

    async def get(self, product: int) -> dict[str, Any] | None:
        """A product, from the cache or else from the document store."""
        return await cached(self._cache, f"product:{product}", lambda: self._products.find(product))

    async def sold(self, product: int) -> None:
        """Count a sale, of which an event tells."""
        await self._products.add_sale(product)
