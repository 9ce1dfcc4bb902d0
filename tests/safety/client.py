"""A PostgreSQL session of the test's own, to cause trouble with or to look from outside."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import asyncpg

OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'backend-doctor'"


class Client:
    """A blocking session; a context manager. Options go to `asyncpg.connect`."""

    def __init__(self, url: str, application: str = "oracle", **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        options = {"timeout": 10, "statement_cache_size": 0, **options}
        settings = {"application_name": application, **options.pop("server_settings", {})}
        self._driver: asyncpg.Connection[Any] = self._loop.run_until_complete(
            asyncpg.connect(url, server_settings=settings, **options)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._driver.terminate()
        self._loop.run_until_complete(self._settle())
        self._loop.close()

    async def _settle(self) -> None:
        """Lets what was started see that its session is gone."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    @property
    def pid(self) -> int:
        """The server's process for us."""
        return self._driver.get_server_pid()

    @property
    def end(self) -> str:
        """Our end of the connection, an address with its port."""
        transport: asyncio.Transport = self._driver._transport  # type: ignore[attr-defined]
        host, port = transport.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    def do(self, sql: str) -> None:
        """Runs statements."""
        self._loop.run_until_complete(self._driver.execute(sql))

    def ask(self, sql: str, *arguments: object) -> Any:
        """The first value of the first row."""
        return self._loop.run_until_complete(self._driver.fetchval(sql, *arguments))

    def start(self, sql: str) -> "asyncio.Task[Any]":
        """Sends a statement without waiting for it; `finish` waits."""
        task = self._loop.create_task(self._driver.execute(sql))
        self._loop.run_until_complete(asyncio.sleep(0.1))
        return task

    def finish(self, task: "asyncio.Task[Any]") -> None:
        """Waits for what was started."""
        self._loop.run_until_complete(asyncio.wait_for(task, 10))

    def row(self, sql: str) -> dict[str, Any]:
        """The first row."""
        found = self._loop.run_until_complete(self._driver.fetchrow(sql))
        assert found is not None
        return dict(found)


def wait_until(true: Callable[[], Any], seconds: float = 15.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
