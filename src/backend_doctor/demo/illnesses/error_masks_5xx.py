"""A crash that looks like a CORS error: such answers lack the headers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "cors.error_masks_5xx"
TITLE = "a page crashes, and what browsers report is a CORS error"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """A page raises what nobody handles."""
    async with patient.mistake(Fault.CRASH):
        yield "the popularity of products raises KeyError, far outside of the CORS layer"
