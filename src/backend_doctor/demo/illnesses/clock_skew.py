"""Tokens from the future, which every other clock refuses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "token.clock_skew"
TITLE = "the clock of the server that issues tokens is five minutes ahead"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """New tokens are not valid yet."""
    async with patient.mistake(Fault.CLOCK_AHEAD):
        await patient.log_in()
        yield "new tokens are valid in five minutes, and refused until then"
    await patient.log_in()
