"""A database engine for every request, as when it is made in the handler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "connection.churn"
TITLE = "a handler makes a database engine of its own for every request"
EXIT_CODE = 1
RATE = 40.0
PAGE = ("GET", "/products/7/popularity")


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Traffic rises, and with it the logins."""
    async with patient.mistake(Fault.ENGINE_PER_REQUEST):
        with patient.load.higher(RATE, PAGE):
            yield f"{RATE / 2:.0f} requests a second log in to the database anew"
