"""One folder a kind: how to connect to it, and the facts that can be read from it."""

from collections.abc import Iterable
from contextlib import suppress
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


_DRIVERS = {
    "postgres": "asyncpg",
    "pgbouncer": "psycopg",
    "mongodb": "motor.motor_asyncio",
    "redis": "redis.asyncio",
    "rabbitmq": "aio_pika",
    "http": "httpx",
    "cors": "httpx",
}


def load(kinds: Iterable[str]) -> None:
    """Imports what connecting to these kinds takes.

    On a busy machine that lasts seconds, which must not count as a server's.
    """
    for kind in dict.fromkeys(kinds):
        ours = f"backend_doctor.backends.{kind}.connection"
        for module in (ours, _DRIVERS.get(kind, ours)):
            # what is missing is told by the attempt to connect
            with suppress(ImportError):
                import_module(module)


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, Connection | None]:
    """One attempt to connect, within ``limit`` seconds; a failure is told by the Login."""
    module = import_module(f"backend_doctor.backends.{endpoint.kind}.connection")
    opened: tuple[Login, Connection | None] = await module.connect(endpoint, limit=limit)
    return opened
