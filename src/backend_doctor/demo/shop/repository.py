"""The shop's SQL; sessions are the caller's, who begins and ends the transactions."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_FIND = text("SELECT id, product_id, cents, status FROM orders WHERE id = :id")
_TAKE = text(
    "UPDATE stock SET available = available - 1 WHERE product_id = :id RETURNING available"
)
_COUNT = text("SELECT count(*) FROM orders WHERE product_id = :id")
_SLOW = text("SELECT sum(cents), pg_sleep(:seconds) FROM orders WHERE product_id = :id")


class OrderRepository:
    """Orders and the stock of products, in one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, order: int) -> dict[str, Any] | None:
        """An order by its id."""
        row = (await self._session.execute(_FIND, {"id": order})).mappings().first()
        return dict(row) if row else None

    async def take_from_stock(self, product: int) -> int:
        """Takes one; the row stays locked until the transaction ends. Returns what is left."""
        return int((await self._session.execute(_TAKE, {"id": product})).scalar_one())

    async def count_orders(self, product: int) -> int:
        """How often a product was ordered."""
        return int((await self._session.execute(_COUNT, {"id": product})).scalar_one())

    async def turnover(self, product: int, seconds: float) -> int:
        """Cents of a product's orders, by a statement that takes its time."""
        found = await self._session.execute(_SLOW, {"id": product, "seconds": seconds})
        return int(found.scalar_one())
