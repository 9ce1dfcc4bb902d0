"""A handler that raises and keeps its session: the classic leak that empties a pool.

What users see of it is a "CORS error": nothing handles the error of the full pool, and what is
not handled is answered without the headers that browsers ask for.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "leak.idle_in_transaction"
TITLE = "a handler opens a transaction, raises, and never gives its connection back"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Until every connection of the shop's pool idles in a transaction."""
    pool = patient.pool

    async def pool_is_full() -> bool:
        return await patient.administrator.sessions("state = 'idle in transaction'") >= pool

    async with patient.mistake(Fault.SESSIONS_KEPT, Fault.ERRORS_NOT_HANDLED):
        await patient.until("a pool full of leaked transactions", pool_is_full)
        yield f"invoices fail and leak: {pool} of the pool's {pool} connections are gone"
