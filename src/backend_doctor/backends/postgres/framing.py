"""Keeps what is not PostgreSQL's protocol from asyncpg, whose parser may never return from it.

A message whose length is impossible (MySQL's greeting holds one) sends that parser into an
endless loop, which no deadline and no signal ends.
"""

import asyncio
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncpg.protocol import Protocol

# the first bytes of all messages that a server sends (PostgreSQL 55.7), version 3
_TYPES = frozenset(b"RKZESCDTtHGWdcsnI123NAVv")
_HEADER = 5
_LARGEST = 0x3FFFFFFF  # MaxAllocSize: the server itself cannot build a larger message


# shutdowns, crashes and time limits; an immediate shutdown says so in a mere warning
_FAREWELL = rb"\0V(?:FATAL|PANIC|WARNING)\0C(57P0[1-5]|25P0[34]|08P01)\0M([^\0]*)\0"


class FramingError(ConnectionError):
    """What came is no message of PostgreSQL's protocol."""


class Frames:
    """Follows the borders of messages through a stream of bytes."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._body = 0

    @property
    def between(self) -> bool:
        """Whether the next byte begins a message."""
        return not self._body and not self._header

    def feed(self, data: bytes) -> None:
        """Raises FramingError at the first message of unknown type or impossible length."""
        position = 0
        while position < len(data):
            if self._body:
                skipped = min(self._body, len(data) - position)
                self._body -= skipped
                position += skipped
                continue
            wanted = _HEADER - len(self._header)
            self._header += data[position : position + wanted]
            position += wanted
            if self._header[0] not in _TYPES:
                raise FramingError(f"no message of PostgreSQL's begins with {self._header[0]:#04x}")
            if len(self._header) == _HEADER:
                self._begin_body(int.from_bytes(self._header[1:], signed=True))

    def _begin_body(self, length: int) -> None:
        # the length counts its own four bytes
        if not 4 <= length <= _LARGEST:
            raise FramingError(f"a message that claims to be {length} bytes long")
        self._header.clear()
        self._body = length - 4


def framed(driver_protocol: "type[Protocol[Any]]") -> "type[Protocol[Any]]":
    """asyncpg's protocol with a check in front: a foreign stream ends with FramingError."""
    if hasattr(driver_protocol, "_frames"):
        return driver_protocol

    class FramedProtocol(driver_protocol):  # type: ignore[misc, valid-type]
        _frames: Frames | None = None
        farewell: tuple[str, str] | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            self._frames = Frames()
            self._wire = transport
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            if self._frames is None:
                return
            if self._frames.between and data[:1] in b"EN" and (said := re.search(_FAREWELL, data)):
                # what the server says to an idle session the driver throws away
                self.farewell = said[1].decode(), said[2].decode("utf-8", "backslashreplace")
            try:
                self._frames.feed(data)
            except FramingError as error:
                self.connection_lost(error)
                self._wire.abort()
            else:
                super().data_received(data)

        def connection_lost(self, error: Exception | None) -> None:
            if self._frames is not None:
                self._frames = None
                super().connection_lost(error)

    return FramedProtocol
