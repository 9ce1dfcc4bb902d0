"""More processes than the database has connections for, each with a modest pool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.ward import USABLE_SLOTS

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "fleet.oversubscribed"
TITLE = "the shop is scaled out: its pools together want more connections than the server has"
EXIT_CODE = 2
PROCESSES = 4
VISITORS = 12
"""At the same moment, for each process: its pool grows to serve them, and stays large."""


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Four processes, a rush, and the slots are taken by connections that idle."""

    async def slots_are_taken() -> bool:
        await patient.load.rush(VISITORS)
        return await patient.administrator.sessions("usename = 'shop'") >= USABLE_SLOTS

    try:
        while len(patient.shops) < PROCESSES:
            await asyncio.to_thread(patient.add_process)
        await patient.until("all slots taken", slots_are_taken)
        demand = PROCESSES * patient.pool
        yield f"the processes want up to {demand} connections; they can have {USABLE_SLOTS}"
    finally:
        await asyncio.to_thread(patient.remove_processes, 1)
