"""Time that the engine owns: a clock to inject, limits, and a deadline that holds."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T")
# how long a cancelled driver gets to let go before it is left behind
_GRACE = 0.2


class Clock(Protocol):
    """Time as the engine sees it: seconds that only go forward."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds since boot or so."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits on the event loop."""
        await asyncio.sleep(seconds)


class Timing(msgspec.Struct, frozen=True):
    """How long things may take, in seconds.

    ``sampling`` is how long kinds that sample do so, None for as long as the window.
    """

    window: float = 5.0
    connect: float = 5.0
    deadline: float = 30.0
    sampling: float | None = None


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """Awaits for at most ``seconds``, also where the awaited code swallows its cancellation.

    Raises TimeoutError.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait({task}, timeout=max(seconds, 0.0))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE)
        raise
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE)
        raise TimeoutError
    return task.result()
