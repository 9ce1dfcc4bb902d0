"""A small web application with a pool of its own making, which keeps its connections for ever.

It prints its port when it is ready and runs until its input ends. Keys of the task: ``path``,
``url``, ``application``, ``size``, ``statement``; with ``tries`` each connection is tried before
it is used and replaced if it is dead, else it is replaced once a request has failed on it.
"""

import asyncio
import json
import socket
import sys
from collections import deque
from typing import Any

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class _Keeper:
    def __init__(self, task: dict[str, Any]) -> None:
        self._task = task
        self._free: deque[Any] = deque()

    async def fill(self) -> None:
        for _ in range(self._task["size"]):
            self._free.append(await self._connect())

    async def _connect(self) -> Any:
        settings = {"application_name": self._task["application"]}
        return await asyncpg.connect(self._task["url"], server_settings=settings)

    async def answer(self, request: Request) -> Response:
        connection = self._free.popleft()
        try:
            if self._task.get("tries") and connection.is_closed():
                connection = await self._connect()
            rows = await connection.fetch(self._task["statement"])
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            connection = await self._connect()
            return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, 500)
        finally:
            self._free.append(connection)
        return JSONResponse({"orders": len(rows)})


async def _serve(task: dict[str, Any]) -> None:
    keeper = _Keeper(task)
    await keeper.fill()
    listener = socket.create_server(("127.0.0.1", 0))
    application = Starlette(routes=[Route(task["path"], keeper.answer)])
    server = uvicorn.Server(uvicorn.Config(application, log_level="critical", access_log=False))
    serving = asyncio.create_task(server.serve([listener]))
    print(listener.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
