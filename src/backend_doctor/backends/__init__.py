"""One folder a kind: how to connect to it, and the facts that can be read from it."""

from importlib import import_module
from typing import Protocol

from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Login


class Connection(Protocol):
    """What the engine needs of any backend's connection; facts use the concrete class."""

    statements: int

    def is_closed(self) -> bool:
        """Whether the other side, or we, have ended it."""
        ...

    async def close(self) -> None:
        """Says goodbye; the engine puts a deadline around it."""
        ...

    def abort(self) -> None:
        """Drops it at once, without waiting for anything."""
        ...


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, Connection | None]:
    """One attempt to connect, within ``limit`` seconds; a failure is told by the Login."""
    module = import_module(f"backend_doctor.backends.{endpoint.kind}.connection")
    opened: tuple[Login, Connection | None] = await module.connect(endpoint, limit=limit)
    return opened
