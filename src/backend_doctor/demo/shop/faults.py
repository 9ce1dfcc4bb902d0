"""Mistakes that real services make, each switched on and off while the shop runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """A mistake in the shop's code."""

    SESSIONS_KEPT = "sessions_kept"
    ENGINE_PER_REQUEST = "engine_per_request"
    AUDIT_UNDER_LOCK = "audit_under_lock"
    CLIENTS_KEPT = "clients_kept"
    CRASH = "crash"
    ERRORS_NOT_HANDLED = "errors_not_handled"
    PREFLIGHT_GUARDED = "preflight_guarded"
    EXPIRY_IN_MILLISECONDS = "expiry_in_milliseconds"
    CLOCK_AHEAD = "clock_ahead"


@dataclass
class Faults:
    """The mistakes made now, and how to close what each of them has kept open."""

    on: set[Fault] = field(default_factory=set)
    _kept: dict[Fault, list[Callable[[], Awaitable[object]]]] = field(default_factory=dict)

    async def keep(self, fault: Fault, close: Callable[[], Awaitable[object]]) -> None:
        """Hold a session or client, by its closing method, until the mistake is mended."""
        if fault in self.on:
            self._kept.setdefault(fault, []).append(close)
        else:
            await close()

    async def mend(self, fault: Fault) -> None:
        """Stop the mistake and close what it kept, as deploying the repaired code would."""
        self.on.discard(fault)
        for close in self._kept.pop(fault, []):
            await close()
