"""Where a fault happens: one real server with an application on it, and all that must end."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RefusedError
from tests.scenarios.frame.application import Application, running
from tests.scenarios.frame.names import Names
from tests.scenarios.frame.oracle import PostgresOracle, RedisOracle

from backend_doctor.demo.servers import PostgresServer, RedisServer

if TYPE_CHECKING:
    from asyncpg import Connection

Session: TypeAlias = "Connection[Any]"
ROWS = 2000


@dataclass(kw_only=True)
class Place:
    """A server and what runs against it: tasks, and ``jobs`` that end connections.

    ``application`` is the process that was started with `start`, if one was.
    """

    names: Names
    random: Random
    seed: int
    jobs: AsyncExitStack = field(default_factory=AsyncExitStack)
    application: Application = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def variant(self) -> int:
        """Which of two ways the fault comes about in: seeds 0 and 1 play 0, 2 and 3 play 1."""
        return self.seed // 2 % 2

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something until the fault is undone."""
        self._tasks.append(asyncio.create_task(work))

    async def start(self, program: str, task: Mapping[str, Any]) -> None:
        """Starts a program of this folder, and ends it when the fault is undone."""
        self.application = await self.jobs.enter_async_context(running(program, task))

    async def end(self) -> list[str]:
        """Ends all that runs; returns why tasks had ended before, which none should."""
        early = [task for task in self._tasks if task.done()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.jobs.aclose()
        return [repr(task.exception() or "ended") for task in early]


@dataclass(kw_only=True)
class PostgresPlace(Place):
    """One PostgreSQL with the application's role, database and tables."""

    server: PostgresServer
    oracle: PostgresOracle
    version: int

    def url(self) -> str:
        """The application's URL."""
        return self.server.url(self.names.role, None, self.names.database)

    async def refuses(self) -> bool:
        """Whether an ordinary login is refused for want of a slot."""
        try:
            visitor = await asyncpg.connect(self.url())
        except asyncpg.TooManyConnectionsError:
            return True
        await visitor.close()
        return False

    async def connect(self, application: str) -> Session:
        """A session of the application's role under a name, ended when the fault is undone."""
        settings = {"application_name": application}
        connection = await asyncpg.connect(self.url(), server_settings=settings)

        async def end() -> None:
            try:
                await connection.close(timeout=2)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

        self.jobs.push_async_callback(end)
        return connection

    async def furnish(self) -> None:
        """Creates role, database and two tables of the application."""
        names = self.names
        admin = await asyncpg.connect(self.server.admin_url())
        try:
            await admin.execute(f'CREATE ROLE "{names.role}" LOGIN')
            await admin.execute(f'CREATE DATABASE "{names.database}" OWNER "{names.role}"')
        finally:
            await admin.close()
        owner = await asyncpg.connect(self.url())
        try:
            for table in (names.table, names.quiet_table):
                await owner.execute(
                    f"CREATE TABLE {table} AS SELECT id, id % 97 AS {names.column},"
                    f" repeat('x', 40) AS label FROM generate_series(1, {ROWS}) AS id"
                )
                await owner.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
        finally:
            await owner.close()


@dataclass(kw_only=True)
class RedisPlace(Place):
    """One Redis or Valkey."""

    server: RedisServer
    oracle: RedisOracle

    async def refuses(self) -> bool:
        """Whether another client is refused."""
        async with Redis.from_url(self.server.url()) as late:
            try:
                await late.ping()
            except RefusedError:
                return True
        return False


@dataclass(kw_only=True)
class OwnPlace(Place):
    """The application's own processes, and a folder for its files."""

    folder: Path
