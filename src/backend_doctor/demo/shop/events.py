"""What the shop tells of itself: events on a topic exchange, and a subscriber that counts."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from pamqp.common import FieldTable

from backend_doctor.demo.shop.settings import APPLICATION, Settings

SOLD = "product.sold"
QUEUE = "shop.sales"
PREFETCH = 20


class Publisher:
    """Sends events; without an exchange it keeps silent."""

    def __init__(self, exchange: AbstractExchange | None) -> None:
        self._exchange = exchange

    async def product_sold(self, product: int) -> None:
        """Tell that one was sold; returns when the broker has confirmed it."""
        if self._exchange is not None:
            body = json.dumps({"product": product}).encode()
            await self._exchange.publish(aio_pika.Message(body), routing_key=SOLD)


@asynccontextmanager
async def publisher(
    settings: Settings, on_sale: Callable[[int], Awaitable[None]]
) -> AsyncIterator[Publisher]:
    """A publisher, and a subscriber that calls ``on_sale``, over one lasting connection."""
    if not settings.amqp_url:
        yield Publisher(None)
        return

    async def receive(message: AbstractIncomingMessage) -> None:
        async with message.process(requeue=not message.redelivered):
            await on_sale(json.loads(message.body)["product"])

    properties: FieldTable = {"connection_name": APPLICATION}
    connection = await aio_pika.connect_robust(settings.amqp_url, client_properties=properties)
    async with connection:
        outgoing, incoming = await connection.channel(), await connection.channel()
        topic = aio_pika.ExchangeType.TOPIC
        await incoming.set_qos(PREFETCH)
        exchange = await incoming.declare_exchange(settings.exchange, topic, durable=True)
        queue = await incoming.declare_queue(QUEUE, durable=True)
        await queue.bind(exchange, "product.*")
        await queue.consume(receive)
        yield Publisher(await outgoing.get_exchange(settings.exchange))
