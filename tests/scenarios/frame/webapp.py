"""A small web application of Starlette under uvicorn, well or badly made as its task says.

It prints its port when it is ready and runs until its input ends. Keys of the task, all optional:
``path`` (what it serves), ``cors`` (arguments of CORSMiddleware), ``cors_outside`` (CORS lies
around everything), ``by_hand`` (headers set on every answer, preflights included),
``proxy`` (in front of it all: a header that it ``hides``, headers that it ``adds``),
``auth`` ("outside" or "inside" of CORS), ``redirect`` ("outside" or "inside": to the path with a
slash), ``fails_every`` (each such request raises), ``tells`` (errors say what they are),
``database`` (see `_Orders`).
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Orders:
    """What the path does: nothing, or a ``statement`` over a pool of ``size`` connections, each
    waited for ``timeout`` seconds; ``workers`` tasks do so all the time, with a ``pause``.
    ``opens`` connections are used once at the start, and kept for ever if it ``keeps`` them.
    ``again`` runs the statement once more meanwhile, over the "same" connection or "another";
    ``autocommit`` leaves transactions out."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._fails_every, self._asked = task.get("fails_every", 0), 0
        self._database: dict[str, Any] = task.get("database", {})
        self._forgiven = (DBAPIError,) if "lock_timeout" in self._database else ()
        if self._database:
            self._engine = create_async_engine(
                self._database["url"],
                pool_size=self._database["size"],
                max_overflow=0,
                pool_timeout=self._database["timeout"],
                connect_args={
                    "server_settings": {
                        "application_name": self._database["application"],
                        "lock_timeout": str(self._database.get("lock_timeout", 0)),
                    }
                },
                **({"isolation_level": "AUTOCOMMIT"} if self._database.get("autocommit") else {}),
            )

    async def answer(self, request: Request) -> Response:
        self._asked += 1
        if self._fails_every and self._asked % self._fails_every == 0:
            raise LookupError("no such warehouse")
        if self._database:
            with suppress(*self._forgiven):
                await self._work()
        return JSONResponse({"orders": []})

    async def _work(self) -> None:
        statement, again = text(self._database["statement"]), self._database.get("again")
        async with self._engine.connect() as connection:
            await connection.execute(statement)
            if again == "same":
                await connection.execute(statement)
            elif again == "another":
                async with self._engine.connect() as other:
                    await other.execute(statement)

    async def _open(self) -> None:
        """Fills the pool, and forgets about its connections or gives them back."""
        opened = [await self._engine.connect() for _ in range(self._database.get("opens", 0))]
        for connection in opened:
            await connection.execute(text(self._database["statement"]))
            await connection.commit()
            if not self._database.get("keeps"):
                await connection.close()
        self._kept = opened

    async def work_on(self) -> None:
        while True:
            with suppress(PoolTimeoutError, *self._forgiven):
                await self._work()
            await asyncio.sleep(self._database["pause"])

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        if self._database:
            await self._open()
        count = self._database.get("workers", 0)
        workers = [asyncio.create_task(self.work_on()) for _ in range(count)]
        yield
        for worker in workers:
            worker.cancel()


class _ByHand:
    """Sets headers on every answer and answers preflights itself."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(k.lower().encode(), v.encode()) for k, v in self._headers.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        answers_itself = scope["type"] == "http" and scope["method"] == "OPTIONS"
        app = PlainTextResponse("", 204) if answers_itself else self._app
        await app(scope, receive, with_headers)


class _Proxy:
    """Passes everything on, takes one header from the answers and puts its own on top."""

    def __init__(self, app: ASGIApp, hides: str = "", adds: dict[str, str] | None = None) -> None:
        self._app, self._hides, self._adds = app, hides.lower().encode(), adds or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def passed(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(k, v) for k, v in message["headers"] if k.lower() != self._hides]
                own = [(k.lower().encode(), v.encode()) for k, v in self._adds.items()]
                message["headers"] = [*kept, *own]
            await send(message)

        await self._app(scope, receive, passed)


class _Auth:
    """Refuses whoever carries no token; the health path is open."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        closed = scope["type"] == "http" and scope["path"] != "/healthz"
        if closed and b"authorization" not in dict(scope["headers"]):
            refusal = JSONResponse({"detail": "Not authenticated"}, 401)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class _Redirect:
    """Sends every path without a slash at its end to the one with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bare = scope["type"] == "http" and not scope["path"].endswith("/")
        if bare and scope["path"] != "/healthz":
            await RedirectResponse(f"{scope['path']}/", 307)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _told(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 500)


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


def _application(task: dict[str, Any]) -> ASGIApp:
    application = _bare(task)
    return _Proxy(application, **task["proxy"]) if "proxy" in task else application


def _bare(task: dict[str, Any]) -> ASGIApp:
    orders, path = _Orders(task), task.get("path", "/api/orders")
    routes = [Route("/healthz", _health)]
    routes += [Route(one, orders.answer) for one in (path, f"{path}/")]
    handlers = {Exception: _told} if task.get("tells") else {}
    application = Starlette(routes=routes, lifespan=orders.lifespan, exception_handlers=handlers)
    layers: dict[str, Callable[[ASGIApp], ASGIApp]] = {"auth": _Auth, "redirect": _Redirect}
    for name, layer in layers.items():
        if task.get(name) == "inside":
            application.add_middleware(layer)
    outside = bool(task.get("cors_outside"))
    if "cors" in task and not outside:
        application.add_middleware(CORSMiddleware, **task["cors"])
    for name, layer in layers.items():
        if task.get(name) == "outside":
            application.add_middleware(layer)
    if "by_hand" in task:
        return _ByHand(application, task["by_hand"])
    return CORSMiddleware(application, **task["cors"]) if outside else application


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            print(listener.getsockname()[1], flush=True)


async def _serve(task: dict[str, Any]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(_application(task), log_level="critical", access_log=False)
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
