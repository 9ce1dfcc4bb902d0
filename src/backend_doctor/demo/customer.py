"""A customer who stays logged in, as the shop's own pages would keep her."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from backend_doctor.demo.furnishing import CUSTOMER

REFRESH_SECONDS = 300.0
_REQUEST_SECONDS = 10.0


class Customer:
    """Her tokens. The access token also lies in a file, as the doctor's sample."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._tokens: dict[str, Any] = {}
        self._address = ""
        self._file = Path()

    @property
    def headers(self) -> dict[str, str]:
        """What her requests carry."""
        token = self._tokens.get("access_token")
        return {"authorization": f"Bearer {token}"} if token else {}

    async def log_in(self, address: str, file: Path) -> None:
        """New tokens from the shop at an address; raises httpx.HTTPError."""
        self._address, self._file = address, file
        await self._post("login", name=CUSTOMER, password=self._password)

    @asynccontextmanager
    async def staying(self) -> AsyncIterator[None]:
        """Exchanges the tokens in good time meanwhile."""
        task = asyncio.create_task(self._stay())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _stay(self) -> None:
        import httpx

        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            # a sick shop may refuse; the tokens in hand last for some more turns
            with suppress(httpx.HTTPError):
                await self._post("refresh", refresh_token=self._tokens["refresh_token"])

    async def _post(self, what: str, **body: str) -> None:
        import httpx

        async with httpx.AsyncClient(trust_env=False, timeout=_REQUEST_SECONDS) as client:
            response = await client.post(f"{self._address}/auth/{what}", json=body)
            response.raise_for_status()
        self._tokens = response.json()
        self._file.touch(mode=0o600)
        self._file.write_text(self._tokens["access_token"])
