"""Looks at a MongoDB, and clients beside them."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from backend_doctor.backends.mongodb.connection import MongoConnection, connect
from backend_doctor.backends.mongodb.connections import MongoConnections
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import MongoServer
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Login

MakeMongo = Callable[..., MongoServer]
CANARY = "c/an@ry%41"


def endpoint(url: str) -> Endpoint:
    return parse_url(url, place="test")


async def opened(url: str) -> tuple[Login, MongoConnection]:
    login, connection = await connect(endpoint(url), limit=5.0)
    assert connection is not None, login
    return login, connection


def log_in(url: str, limit: float = 5.0) -> Login:
    async def once() -> Login:
        login, connection = await connect(endpoint(url), limit=limit)
        if connection is not None:
            await connection.close()
        return login

    return asyncio.run(once())


def look(url: str) -> tuple[Login, MongoConnections]:
    async def once() -> tuple[Login, MongoConnections]:
        login, connection = await opened(url)
        try:
            return login, await MongoConnections.collect(connection, login)
        finally:
            await connection.close()

    return asyncio.run(once())


@contextlib.contextmanager
def holding(server: MongoServer, count: int) -> Iterator[None]:
    """Raw connections that say nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection((server.host, server.port), 5))
        time.sleep(0.2)
        yield


def ours(server: MongoServer) -> list[Any]:
    """Our connections by their own account, the idle ones included."""
    found = server.command(
        "aggregate",
        pipeline=[
            {"$currentOp": {"allUsers": True, "idleConnections": True}},
            {"$match": {"clientMetadata.application.name": "backend-doctor"}},
        ],
        cursor={},
    )
    return list(found["cursor"]["firstBatch"])
