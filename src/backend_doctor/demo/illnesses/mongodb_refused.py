"""A document store that is down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "reach.refused"
TITLE = "MongoDB is stopped, and with it every page that shows a product"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Nobody listens on its port."""
    mongodb = patient.ward.mongodb
    await asyncio.to_thread(mongodb.halt)
    try:
        yield "nobody listens on MongoDB's port"
    finally:
        await asyncio.to_thread(mongodb.restart)
