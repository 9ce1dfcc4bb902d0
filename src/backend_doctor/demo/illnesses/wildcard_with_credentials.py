"""A wildcard where credentials are allowed: this framework then welcomes whoever asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "cors.wildcard_with_credentials"
TITLE = "every origin is allowed, and credentials are too: the settings of many a tutorial"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """The reference's own example values."""
    async with patient.deployed({"cors": {"allow_origins": ["*"], "allow_credentials": True}}):
        yield "any page of the internet may call the shop with its visitors' credentials"
