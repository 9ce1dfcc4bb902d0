"""A pattern of origins that fits whoever asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "cors.reflects_any_origin"
TITLE = "the pattern of allowed origins fits every origin, and credentials are allowed too"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Somebody wanted the previews of branches to work."""
    async with patient.deployed({"cors": {"allow_origin_regex": "https://.*"}}):
        yield "any page of the internet may call the shop with its visitors' credentials"
