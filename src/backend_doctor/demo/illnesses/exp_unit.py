"""An expiry in milliseconds, from code that was JavaScript once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "token.exp_unit"
TITLE = "tokens say in milliseconds when they expire: they never do"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """New tokens outlive everybody."""
    async with patient.mistake(Fault.EXPIRY_IN_MILLISECONDS):
        await patient.log_in()
        yield "a new token expires in the year 58,000 or so"
    await patient.log_in()
