"""What Redis, MongoDB, RabbitMQ and their drivers say leads to its message."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import aio_pika
import aiormq
import pymongo
import pytest
import redis
from pymongo.errors import PyMongoError
from tests.triage_words import lead, said

from backend_doctor.demo.servers import MongoServer, RabbitServer, RedisServer


def redis_error(act: Callable[[], Any]) -> str:
    with pytest.raises(redis.RedisError) as raised:
        act()
    return said(raised.value)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_redis_full(make_redis: Callable[..., RedisServer], kind: str) -> None:
    server = make_redis(kind, settings={"maxclients": 3})
    clients = [socket.create_connection((server.host, server.port), 5) for _ in range(3)]
    for client in clients:
        client.sendall(b"PING\r\n")
        client.recv(64)
    with socket.create_connection((server.host, server.port), 5) as late:
        text = late.recv(200).decode()
    for client in clients:
        client.close()
    assert lead(text) == "Redis has no room for another client"


def test_redis_pools(valkey: RedisServer) -> None:
    title = "redis-py's own pool is empty"
    for pool in (
        redis.ConnectionPool.from_url(valkey.url(), max_connections=1),
        redis.BlockingConnectionPool.from_url(valkey.url(), max_connections=1, timeout=0.05),
    ):
        taken = pool.get_connection()
        assert lead(redis_error(pool.get_connection)) == title
        pool.release(taken)
        pool.disconnect()


def test_redis_login(make_redis: Callable[..., RedisServer]) -> None:
    url = make_redis(password="right").url(password="wrong")
    assert lead(redis_error(redis.from_url(url).ping)) == "Redis refuses the login"
    url = url.replace(":wrong@", "")
    assert lead(redis_error(redis.from_url(url).ping)) == "Redis refuses the login"


def mongo_error(url: str, act: Callable[[Any], Any], **options: Any) -> str:
    with pymongo.MongoClient[dict[str, Any]](url, **options) as client:
        with pytest.raises(PyMongoError) as raised:
            act(client)
        return said(raised.value)


def test_mongodb_pool(mongod: MongoServer) -> None:
    def exhaust(client: Any) -> None:
        client.shop.things.insert_many([{"n": n} for n in range(5)])
        # such a cursor keeps its connection until it has been read to its end
        kept = client.shop.things.find(batch_size=2, cursor_type=pymongo.CursorType.EXHAUST)
        next(kept)
        client.shop.command("ping")

    text = mongo_error(mongod.admin_url(), exhaust, maxPoolSize=1, waitQueueTimeoutMS=100)
    assert lead(text) == "MongoDB's driver found no free connection in time"


def test_mongodb_login(mongod: MongoServer) -> None:
    url = mongod.url("admin", "wrong")
    text = mongo_error(url, lambda client: client.admin.command("ping"))
    assert lead(text) == "MongoDB refuses the login"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nothing listens, kept from others."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_mongodb_not_reached(closed_port: int) -> None:
    url = f"mongodb://127.0.0.1:{closed_port}/?serverSelectionTimeoutMS=200"
    text = mongo_error(url, lambda client: client.admin.command("ping"))
    assert lead(text) == "MongoDB has no server that could answer"


async def broker_error(url: str) -> str:
    try:
        connection = await aio_pika.connect(url, timeout=10)
    except (aio_pika.exceptions.AMQPError, aiormq.exceptions.AMQPError) as error:
        return said(error)
    await connection.close()
    raise AssertionError("it was let in")


def test_rabbitmq(rabbitmq: RabbitServer, closed_port: int) -> None:
    text = asyncio.run(broker_error(rabbitmq.url(password="wrong")))
    assert lead(text) == "RabbitMQ refuses the login"
    text = asyncio.run(broker_error(rabbitmq.url(vhost="nowhere")))
    assert lead(text) == "RabbitMQ closed the connection or the channel"
    text = asyncio.run(broker_error(f"amqp://127.0.0.1:{closed_port}/"))
    assert lead(text) == "RabbitMQ is not reached"


def test_nothing_listens(closed_port: int) -> None:
    async def streams() -> None:
        await asyncio.open_connection("127.0.0.1", closed_port)

    with pytest.raises(OSError) as raised:
        asyncio.run(streams())
    assert lead(said(raised.value)) == "Nothing listens there"
    with pytest.raises(OSError) as raised:
        socket.create_connection(("127.0.0.1", closed_port), 5)
    assert lead(str(raised.value)) == "Nothing listens there"
