"""A pool of two for a shop that needs more: requests wait, and time out, and nothing leaks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "pool.undersized"
TITLE = "the shop may open 2 connections, and its requests need more at the same time"
EXIT_CODE = 2
RATE = 80.0
PAGE = ("GET", "/products/7/turnover")
POOL = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 0.5}


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Traffic that asks for more than two connections can answer."""
    async with patient.deployed({"database": {"postgresql": POOL}}):
        with patient.load.higher(RATE, PAGE):
            yield f"{RATE / 2:.0f} requests a second want 2 connections for 50 ms each"
