"""Starts a program of the application as a process of its own, and ends it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

START_LIMIT = 20.0


@dataclass(frozen=True)
class Application:
    """A running program: its process, and its port if it listens on one, else 0."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """One request over a connection of its own; redirects are not followed."""
        async with httpx.AsyncClient(base_url=self.url, timeout=10, verify=False) as client:
            return await client.request(method, path, headers=headers)


@asynccontextmanager
async def running(program: str, task: Mapping[str, Any]) -> AsyncIterator[Application]:
    """Runs ``program`` of this folder with its task; it has printed its port once it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name(program)),
        json.dumps(task),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT)
        yield Application(process.pid, int(line))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
