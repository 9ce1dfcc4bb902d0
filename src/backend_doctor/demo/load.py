"""Gentle, endless traffic on the shop, with a count of what came back."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from backend_doctor.demo.furnishing import PRODUCTS

if TYPE_CHECKING:
    import httpx

ORDERS = 500
REQUEST_SECONDS = 3.0
MOST_AT_ONCE = 40


class Count(NamedTuple):
    """Requests answered well, and requests failed or too slow, in ``seconds``."""

    ok: int
    failed: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.ok} requests ok, {self.failed} failed in {self.seconds:.0f} s"


class Load:
    """``rate`` requests a second, spread over the shop's processes at ``addresses``.

    Half of them go to the ``favourite`` (method, path), if there is one; both may be changed
    at any time. ``headers`` gives those of the next request.
    """

    def __init__(self, headers: Callable[[], dict[str, str]], rate: float = 15.0) -> None:
        self.addresses: list[str] = []
        self.rate = rate
        self._headers = headers
        self.favourite: tuple[str, str] | None = None
        self._ok = self._failed = 0
        self._since = time.monotonic()

    def count(self) -> Count:
        """What came back since the last count."""
        now = time.monotonic()
        count = Count(self._ok, self._failed, now - self._since)
        self._ok, self._failed, self._since = 0, 0, now
        return count

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send requests meanwhile."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @contextmanager
    def higher(self, rate: float, favourite: tuple[str, str] | None = None) -> Iterator[None]:
        """Another rate and favourite meanwhile."""
        former = self.rate, self.favourite
        self.rate, self.favourite = rate, favourite
        try:
            yield
        finally:
            self.rate, self.favourite = former

    async def rush(self, visitors: int) -> None:
        """So many requests to each process at the same moment; they are not counted."""
        import httpx

        async with httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False) as client:
            paths = (f"/products/{1 + n % PRODUCTS}/popularity" for n in range(visitors))
            visits = [client.get(f"{to}{path}") for path in paths for to in self.addresses]
            await asyncio.gather(*visits, return_exceptions=True)

    async def _run(self) -> None:
        import httpx

        limits = httpx.Limits(max_connections=MOST_AT_ONCE)
        async with (
            httpx.AsyncClient(timeout=REQUEST_SECONDS, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as requests,
        ):
            for number in itertools.count():
                requests.create_task(self._request(client, number))
                await asyncio.sleep(1 / self.rate)

    async def _request(self, client: "httpx.AsyncClient", number: int) -> None:
        import httpx

        method, path = self._choose(number)
        try:
            address = self.addresses[number % len(self.addresses)]
            url = f"{address}{path}"
            response = await client.request(method, url, headers=self._headers())
        except httpx.HTTPError:
            self._failed += 1
            return
        if response.is_success:
            self._ok += 1
        else:
            self._failed += 1

    def _choose(self, number: int) -> tuple[str, str]:
        order, product = random.randint(1, ORDERS), random.randint(1, PRODUCTS)
        if self.favourite is not None and number % 2:
            return self.favourite
        return (
            ("GET", f"/orders/{order}"),
            ("GET", f"/orders/{order}/invoice"),
            ("GET", f"/products/{product}"),
            ("GET", f"/products/{product}/popularity"),
            ("POST", f"/products/{product}/sales"),
        )[number // 2 % 5]
