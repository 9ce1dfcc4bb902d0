"""The servers that the shop stands on: started together, stopped together."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backend_doctor.demo.furnishing import (
    furnish_mongodb,
    furnish_postgres,
    furnish_rabbitmq,
    furnish_redis,
)
from backend_doctor.demo.servers import PostgresServer, RedisServer, Server, ServerError
from backend_doctor.demo.servers.mongodb import MongoServer
from backend_doctor.demo.servers.postgres import SUPERUSER
from backend_doctor.demo.servers.rabbitmq import RabbitServer, rabbitmq_binary

USABLE_SLOTS = 9
"""Connections that the demo's database has for ordinary roles."""
MAX_CLIENTS = 20
_POSTGRES: dict[str, str | int] = {
    "max_connections": USABLE_SLOTS + 3,
    "superuser_reserved_connections": 1,
    "reserved_connections": 2,
    "shared_preload_libraries": "pg_stat_statements",
}

Say = Callable[[str], None]
Furnish = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Ward:
    """The servers; ``rabbitmq`` only where the machine has it."""

    postgres: PostgresServer
    redis: RedisServer
    mongodb: MongoServer
    rabbitmq: RabbitServer | None

    @property
    def servers(self) -> list[Server]:
        """All that there are."""
        found = (self.postgres, self.redis, self.mongodb, self.rabbitmq)
        return [server for server in found if server is not None]


@contextmanager
def opened(passwords: Mapping[str, str], say: Say) -> Iterator[Ward]:
    """Starts and furnishes the servers side by side; whatever happens, none stays behind."""
    secret = passwords[SUPERUSER]
    rabbitmq = RabbitServer(password=secret) if _has_rabbitmq() else None
    ward = Ward(
        postgres=PostgresServer(settings=_POSTGRES, password=secret),
        redis=RedisServer(settings={"maxclients": MAX_CLIENTS}, password=secret),
        mongodb=MongoServer(password=secret),
        rabbitmq=rabbitmq,
    )
    if rabbitmq is None:
        say("RabbitMQ is not installed: that part of the demo is left out")
    try:
        _start(ward, passwords, say)
        yield ward
    finally:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda server: server.stop(immediate=True), ward.servers))


def _has_rabbitmq() -> bool:
    try:
        rabbitmq_binary()
    except ServerError:
        return False
    return True


def _start(ward: Ward, passwords: Mapping[str, str], say: Say) -> None:
    rabbitmq = ward.rabbitmq
    steps: list[tuple[str, Server, Furnish]] = [
        ("PostgreSQL", ward.postgres, lambda: furnish_postgres(ward.postgres, passwords)),
        ("Valkey", ward.redis, lambda: furnish_redis(ward.redis, passwords)),
        ("MongoDB", ward.mongodb, lambda: furnish_mongodb(ward.mongodb, passwords)),
    ]
    if rabbitmq is not None:
        steps.append(("RabbitMQ", rabbitmq, lambda: furnish_rabbitmq(rabbitmq, passwords)))
    with ThreadPoolExecutor() as threads:
        started = {threads.submit(_start_one, server, fill): name for name, server, fill in steps}
        for step in as_completed(started):
            say(f"{started[step]} is ready ({step.result():.1f} s)")


def _start_one(server: Server, furnish: Furnish) -> float:
    before = time.monotonic()
    server.start()
    asyncio.run(furnish())
    return time.monotonic() - before
