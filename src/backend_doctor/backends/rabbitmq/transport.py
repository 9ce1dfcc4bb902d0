"""The socket beneath AMQP, kept in reach: to be dropped at once, and to hear a refusal out."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import SupportsIndex

_KEPT_BYTES = 16_384


class Overheard(asyncio.StreamReader):
    """A stream that keeps its first bytes.

    The driver throws away the words with which a broker closes a connection that it does not
    open.
    """

    kept = b""

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """What the socket received."""
        if len(self.kept) < _KEPT_BYTES:
            self.kept += bytes(data)
        super().feed_data(data)


@dataclass
class Line:
    """One way to a broker; ``writer`` and ``heard`` are there once it is open."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    writer: asyncio.StreamWriter | None = field(default=None, init=False)
    heard: Overheard | None = field(default=None, init=False)

    async def open(self) -> tuple[Overheard, asyncio.StreamWriter]:
        """Connects. Raises OSError, ssl.SSLError included."""
        loop = asyncio.get_running_loop()
        reader = Overheard(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(
            lambda: protocol,
            self.host,
            self.port,
            ssl=self.tls,
            server_hostname=self.host if self.tls else None,
        )
        self.heard = reader
        self.writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return reader, self.writer

    @property
    def closed(self) -> bool:
        """Whether the socket is gone, or about to be."""
        return self.writer is None or self.writer.transport.is_closing()

    def drop(self) -> None:
        """Closes the socket at once."""
        if self.writer is not None:
            self.writer.transport.abort()
