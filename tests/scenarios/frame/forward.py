"""A way to a server of this machine that does not lead over its loopback address."""

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_ELSEWHERE = ("192.0.2.1", 9)  # of RFC 5737; nothing is sent there


def own_address() -> str:
    """The address that this machine has in its network. Raises RuntimeError without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with suppress(OSError):
            probe.connect(_ELSEWHERE)
        address: str = probe.getsockname()[0]
    if address.startswith("127.") or address == "0.0.0.0":
        raise RuntimeError("this machine has no address but its loopback one")
    return address


@asynccontextmanager
async def forwarded(port: int) -> AsyncIterator[tuple[str, int]]:
    """Address and port that lead to a port of 127.0.0.1."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, here), _pump(there, writer))

    server = await asyncio.start_server(serve, own_address(), 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


async def _pump(source: StreamReader, target: StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()
