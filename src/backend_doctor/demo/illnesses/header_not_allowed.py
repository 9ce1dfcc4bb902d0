"""Allowed headers without the one that carries the token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "cors.header_not_allowed"
TITLE = "the list of headers that browsers may send lacks authorization"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """What carries the token is missing in the settings."""
    async with patient.deployed({"cors": {"allow_headers": ["content-type"]}}):
        yield "browsers may send content-type, and no authorization"
