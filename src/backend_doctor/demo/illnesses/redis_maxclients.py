"""A cache client for every request, never closed, until the cache takes no more."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "redis.maxclients"
TITLE = "a handler makes a cache client for every request and never closes it"
EXIT_CODE = 2
RATE = 20.0
PAGE = ("GET", "/products/7/popularity")


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Until the cache refuses new clients."""

    async def cache_refuses() -> bool:
        return await patient.administrator.refused_clients() > 0

    async with patient.mistake(Fault.CLIENTS_KEPT):
        with patient.load.higher(RATE, PAGE):
            await patient.until("a cache that refuses clients", cache_refuses)
            yield "the cache is full of idle clients and refuses new ones"
