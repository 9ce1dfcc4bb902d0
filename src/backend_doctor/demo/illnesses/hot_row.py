"""Everybody buys one product, and each sale keeps its row locked for long."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "lock.hot_row"
TITLE = "everybody buys one product, whose row each sale locks for a quarter of a second"
EXIT_CODE = 2
RATE = 30.0
SALE = ("POST", "/products/7/sales")
WAITING = 3


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """A flash sale, until the buyers stand in line for the row."""

    async def buyers_wait() -> bool:
        return await patient.administrator.sessions("wait_event_type = 'Lock'") >= WAITING

    async with patient.mistake(Fault.AUDIT_UNDER_LOCK):
        with patient.load.higher(RATE, SALE):
            await patient.until("buyers waiting for one row", buyers_wait)
            yield "half of all requests buy product 7 and wait for its row"
