"""Layers in the wrong order: the guard stands outside of CORS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backend_doctor.demo.shop.faults import Fault

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

LABEL = "cors.preflight_blocked_by_auth"
TITLE = "the login is asked for before CORS is answered, and preflights never carry one"
EXIT_CODE = 2


@asynccontextmanager
async def sick(patient: "Patient") -> AsyncIterator[str]:
    """Whatever comes without a token is refused, and preflights are."""
    async with patient.mistake(Fault.PREFLIGHT_GUARDED):
        yield "OPTIONS without a token is answered 401"
