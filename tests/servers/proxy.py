"""A TCP proxy that breaks connections on purpose, between a driver and a real server."""

import asyncio
import random
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from enum import Enum, auto

from tests.servers.listener import Listener, reset


class Mode(Enum):
    """What happens to connections, those already open included."""

    PASS = auto()  #: everything is forwarded
    REFUSE = auto()  #: nobody listens on the port; open connections go on
    BLACK_HOLE = auto()  #: accepted, then everything is swallowed
    RESET = auto()  #: RST after ``amount`` bytes of answer
    CUT = auto()  #: closed after ``amount`` bytes of answer
    HALF_OPEN = auto()  #: silent in both directions after ``amount`` bytes of answer
    SLOW = auto()  #: answers arrive at ``amount`` bytes a second
    GARBAGE = auto()  #: whatever the client sends is answered with random bytes


_WITHOUT_SERVER = {Mode.BLACK_HOLE, Mode.GARBAGE}
_AFTER_AMOUNT = {Mode.RESET, Mode.CUT, Mode.HALF_OPEN}
_GARBAGE_BYTES = 64


@dataclass(eq=False)
class _Link:
    client: StreamWriter
    answered: int = 0
    muted: bool = False


class FaultProxy(Listener):
    """Stands in front of ``target_port`` of 127.0.0.1; a context manager; starts in `Mode.PASS`.

    `switch` may be called from any thread. Amounts count bytes of answer per connection, from
    the last switch on; zero strikes open connections at once.
    """

    def __init__(self, target_port: int, seed: int = 0) -> None:
        super().__init__()
        self.target_port = target_port
        self.mode = Mode.PASS
        self.amount = 0
        self._random = random.Random(seed)
        self._links: set[_Link] = set()

    def switch(self, mode: Mode, amount: int = 0) -> None:
        """Change the mode; returns when it holds."""
        if mode is Mode.SLOW and amount < 1:
            raise ValueError("slow needs an amount: bytes a second")
        self._call(self._switch(mode, amount))

    async def _switch(self, mode: Mode, amount: int) -> None:
        self.mode, self.amount = mode, amount
        await (self._close() if mode is Mode.REFUSE else self._open())
        for link in list(self._links):
            link.answered, link.muted = 0, False
            self._strike(link)

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One client's connection and its twin to the server."""
        link = _Link(writer)
        self._links.add(link)
        try:
            self._strike(link)
            if self.mode in _WITHOUT_SERVER:
                await self._swallow(link, reader)
            else:
                await self._connect(link, reader)
        finally:
            self._links.discard(link)

    async def _connect(self, link: _Link, reader: StreamReader) -> None:
        from_server, to_server = await asyncio.open_connection(self.host, self.target_port)
        answers = asyncio.create_task(self._answer(link, from_server))
        try:
            await self._ask(link, reader, to_server)
        finally:
            answers.cancel()
            to_server.close()

    async def _swallow(self, link: _Link, reader: StreamReader) -> None:
        while await reader.read(65536):
            if self.mode is Mode.GARBAGE:
                link.client.write(self._random.randbytes(_GARBAGE_BYTES))

    async def _ask(self, link: _Link, reader: StreamReader, server: StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if self.mode is Mode.GARBAGE:
                link.client.write(self._random.randbytes(_GARBAGE_BYTES))
            elif self.mode is not Mode.BLACK_HOLE and not link.muted:
                server.write(chunk)
                await server.drain()

    async def _answer(self, link: _Link, server: StreamReader) -> None:
        while chunk := await server.read(65536):
            if self.mode in _WITHOUT_SERVER:
                continue
            if self.mode in _AFTER_AMOUNT:
                chunk = chunk[: max(0, self.amount - link.answered)]
            elif self.mode is Mode.SLOW:
                await self._trickle(link, chunk)
                continue
            link.client.write(chunk)
            link.answered += len(chunk)
            await link.client.drain()
            self._strike(link)
        if self.mode is not Mode.BLACK_HOLE and not link.muted:
            link.client.close()

    async def _trickle(self, link: _Link, chunk: bytes) -> None:
        while chunk and self.mode is Mode.SLOW:
            size = max(1, self.amount // 20)
            link.client.write(chunk[:size])
            chunk = chunk[size:]
            await asyncio.sleep(size / self.amount)
        link.client.write(chunk)

    def _strike(self, link: _Link) -> None:
        """End or mute a connection whose amount of answer is used up."""
        if link.answered < self.amount:
            return
        if self.mode is Mode.RESET:
            reset(link.client)
        elif self.mode is Mode.CUT:
            link.client.close()
        elif self.mode is Mode.HALF_OPEN:
            link.muted = True
