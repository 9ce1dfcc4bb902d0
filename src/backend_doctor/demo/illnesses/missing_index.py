"""An index that a migration dropped: each look at a product's orders reads all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "query.missing_index"
TITLE = "the table of orders has grown, and a migration dropped the index on its products"
EXIT_CODE = 1
ROWS = 300_000
INDEX = "orders_product_id_idx"
PAGE = ("GET", "/products/7/popularity")
RATE = 20.0
# from product 1000 on: what is sold stays fast to count, once the index is back
GROW = f"""
INSERT INTO stock SELECT n, 0 FROM generate_series(1000, 31000) n;
INSERT INTO orders SELECT 1000 + n, 1000 + n % 30000, 100, 'paid' FROM generate_series(1, {ROWS}) n
"""
SHRINK = "DELETE FROM orders WHERE id > 1000; DELETE FROM stock WHERE product_id >= 1000"


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """More orders, without the index."""
    async with patient.administrator.session("shop", "migration") as session:
        await session.execute(f"{GROW}; DROP INDEX {INDEX}; ANALYZE orders")
        try:
            with patient.load.higher(RATE, PAGE):
                yield f"each look at a product's popularity reads {ROWS:,} orders"
        finally:
            await session.execute(f"CREATE INDEX {INDEX} ON orders (product_id); {SHRINK}")
            await session.execute("VACUUM ANALYZE orders")
