"""A list of allowed origins from before the frontend moved."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "cors.origin_not_allowed"
TITLE = "the list of origins names another host than the one that browsers come from"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """The frontend's origin is missing in the settings."""
    async with patient.deployed({"cors": {"allow_origins": ["https://www.shop.example"]}}):
        yield "the shop serves https://www.shop.example, and its pages are at https://shop.example"
