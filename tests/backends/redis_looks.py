"""Looks at a Redis or Valkey, and clients beside them."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from redis import Redis

from backend_doctor.backends.redis.clients import Clients
from backend_doctor.backends.redis.connection import RedisConnection, connect
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import RedisServer
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Instance, Login

KINDS = ("valkey", "redis")
MakeRedis = Callable[..., RedisServer]


def endpoint_of(url: str) -> Endpoint:
    return parse_url(url, place="test")


def instance_of(endpoint: Endpoint) -> Instance:
    return Instance(
        service="shop",
        backend="redis",
        name="redis",
        address=endpoint.address,
        host=endpoint.host,
        port=endpoint.port,
    )


def log_in(endpoint: Endpoint, limit: float = 5.0) -> Login:
    async def once() -> Login:
        login, connection = await connect(endpoint, limit=limit)
        if connection is not None:
            await connection.close()
        return login

    return asyncio.run(once())


async def opened(endpoint: Endpoint) -> tuple[Login, RedisConnection]:
    login, connection = await connect(endpoint, limit=5.0)
    assert connection is not None, login
    return login, connection


@contextlib.contextmanager
def admin_of(server: RedisServer) -> Iterator[Any]:
    with Redis.from_url(server.admin_url(), decode_responses=True) as admin:
        yield admin


@contextlib.contextmanager
def clients_of(
    server: RedisServer, count: int, name: str = "", first: str = ""
) -> Iterator[list[socket.socket]]:
    """Raw connections; each sends its name and one command, if given, and then idles."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            for command in filter(None, (name and f"CLIENT SETNAME {name}", first)):
                one.sendall(f"{command}\r\n".encode())
                if not first.startswith("BLPOP") or command != first:
                    one.recv(200)
            found.append(one)
        yield found


@contextlib.contextmanager
def all_slots(server: RedisServer, count: int) -> Iterator[None]:
    """Takes every slot, those too that clients just gone have not yet given back."""
    with contextlib.ExitStack() as stack:
        taken, end = 0, time.monotonic() + 10
        while taken < count and time.monotonic() < end:
            one = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            one.sendall(b"PING\r\n")
            taken += one.recv(200).startswith(b"+PONG")
        assert taken == count
        yield


async def facts_of(endpoint: Endpoint) -> tuple[Login, ClientLimits, Clients]:
    login, connection = await opened(endpoint)
    limits = await ClientLimits.collect(connection, login, None)
    clients = await Clients.collect(connection, limits)
    await connection.close()
    return login, limits, clients
