"""TCP servers on 127.0.0.1 that run in a thread of their own, so that clients may block."""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from threading import Thread
from typing import Any, Self

_THREAD_LIMIT = 5.0

#: protocol -> (said on connecting, answered to the first bytes)
BANNERS: dict[str, tuple[bytes, bytes]] = {
    "ssh": (
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        b"Invalid SSH identification string.\r\n",
    ),
    "mysql": (b"J\0\0\0\x0a8.0.36\0" + bytes(66), b""),
    "http": (b"", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    "redis": (b"", b"-ERR unknown command\r\n"),
    "amqp": (b"", b"AMQP\0\0\x09\x01"),
}


class Listener:
    """Accepts and never answers; a context manager. ``accepted`` counts connections."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_THREAD_LIMIT)
        self._loop.close()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection; returning closes it."""
        while await reader.read(65536):
            pass

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_THREAD_LIMIT)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _shut_down(self) -> None:
        await self._close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.accepted += 1
        try:
            await self.serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class BannerServer(Listener):
    """Speaks another ``protocol`` of `BANNERS`: greets, answers the first bytes and hangs up."""

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self._greeting, self._answer = BANNERS[protocol]

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Greeting, first bytes, answer."""
        writer.write(self._greeting)
        await reader.read(65536)
        writer.write(self._answer)
        await writer.drain()


def reset(writer: StreamWriter) -> None:
    """Close with RST instead of FIN."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
