"""A handler that raises and keeps its session: the classic leak that empties a pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault
from backend_doctor.demo.shop.settings import MAX_OVERFLOW, POOL_SIZE

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "leak.idle_in_transaction"
TITLE = "a handler opens a transaction, raises, and never gives its connection back"
EXIT_CODE = 2
POOL = POOL_SIZE + MAX_OVERFLOW


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Until every connection of the shop's pool idles in a transaction."""

    async def pool_is_full() -> bool:
        return await patient.sessions("state = 'idle in transaction'") >= POOL

    async with patient.mistake(Fault.SESSIONS_KEPT):
        await patient.until("a pool full of leaked transactions", pool_is_full)
        yield f"invoices fail and leak: {POOL} of the pool's {POOL} connections are gone"
