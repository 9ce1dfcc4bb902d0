"""A small web application without SQLAlchemy: over a pool of its own making, which keeps its
connections for ever, or over asyncpg's pool, if its task says whether it ``keeps`` what it took.

It prints its port when it is ready and runs until its input ends. Keys of the task: ``path``,
``url``, ``application``, ``size``, ``statement``; for its own pool ``client`` ("asyncpg" or
"psycopg") and ``tries``: each connection is tried before it is used and replaced if it is dead,
else it is replaced once a request has failed on it; for asyncpg's ``timeout`` in seconds.
"""

import asyncio
import json
import socket
import sys
from collections import deque
from typing import Any, Protocol

import asyncpg
import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, psycopg.Error)


class _Pool(Protocol):
    async def fill(self) -> None: ...

    async def answer(self, request: Request) -> Response: ...


class _Keeper:
    def __init__(self, task: dict[str, Any]) -> None:
        self._task = task
        self._free: deque[Any] = deque()

    async def fill(self) -> None:
        for _ in range(self._task["size"]):
            self._free.append(await self._connect())

    async def _connect(self) -> Any:
        url, name = self._task["url"], self._task["application"]
        if self._task["client"] == "psycopg":
            return await psycopg.AsyncConnection.connect(
                url, application_name=name, autocommit=True
            )
        return await asyncpg.connect(url, server_settings={"application_name": name})

    async def _alive(self, connection: Any) -> Any:
        try:
            await connection.execute("SELECT 1")
        except _LOST:
            return await self._connect()
        return connection

    async def answer(self, request: Request) -> Response:
        connection = self._free.popleft()
        try:
            if self._task["tries"]:
                connection = await self._alive(connection)
            await connection.execute(self._task["statement"])
        except _LOST as error:
            connection = await self._connect()
            return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, 500)
        finally:
            self._free.append(connection)
        return JSONResponse({"orders": []})


class _Borrower:
    """Takes a connection of asyncpg's pool for each request."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._task = task
        self._kept: list[Any] = []

    async def fill(self) -> None:
        size = self._task["size"]
        settings = {"application_name": self._task["application"]}
        self._pool = await asyncpg.create_pool(
            self._task["url"], min_size=size, max_size=size, server_settings=settings
        )

    async def answer(self, request: Request) -> Response:
        connection = await self._pool.acquire(timeout=self._task["timeout"])
        await connection.execute(self._task["statement"])
        if self._task["keeps"]:
            self._kept.append(connection)
        else:
            await self._pool.release(connection)
        return JSONResponse({"orders": []})


async def _serve(task: dict[str, Any]) -> None:
    pool: _Pool = _Borrower(task) if "keeps" in task else _Keeper(task)
    await pool.fill()
    listener = socket.create_server(("127.0.0.1", 0))
    # what debug=True answers is the traceback, as of an application that was left so
    application = Starlette(debug=True, routes=[Route(task["path"], pool.answer)])
    server = uvicorn.Server(uvicorn.Config(application, log_level="critical", access_log=False))
    serving = asyncio.create_task(server.serve([listener]))
    print(listener.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
