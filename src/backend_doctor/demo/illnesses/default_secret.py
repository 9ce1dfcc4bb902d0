"""The secret of the example, in production."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "settings.default_secret"
TITLE = "tokens are signed with the secret that the example settings came with"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Anybody who read the tutorial can sign tokens."""
    async with patient.deployed({"security": {"secret_key": "your-secret-key"}}):
        yield "security.secret_key is your-secret-key"
