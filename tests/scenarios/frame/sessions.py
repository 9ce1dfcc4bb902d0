"""An authority that issues tokens, an API behind it, and a client that logs in to it."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import httpx
from tests.scenarios.frame.authority import SECRET, USER
from tests.scenarios.frame.fault import OwnFault
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace

PASSWORD = "correct horse battery staple"


class SessionFault(OwnFault):
    """A fault of an authority or of the API that trusts it."""

    kind = "token"

    @abstractmethod
    def task(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        """How the authority is made."""

    def declared(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        """What is declared of its tokens beside its URLs, the account and the sample."""
        return {}

    async def inject(self, place: OwnPlace) -> None:
        await self._start(place, twin=False)

    async def inject_twin(self, place: OwnPlace) -> None:
        await self._start(place, twin=True)

    async def _start(self, place: OwnPlace, *, twin: bool) -> None:
        await place.start("authority.py", {"password": PASSWORD, **self.task(place, twin)})
        for name, text in (
            ("token.jwt", (await self.log_in(place))["access_token"]),
            ("password", PASSWORD),
            ("key", SECRET),
        ):
            file = place.folder / name
            file.touch(mode=0o600)
            file.write_text(text)

    def entries(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        url = place.application.url
        return {
            "http": {"url": url, "health": "/healthz"},
            "token": {
                "sample": {"file": str(place.folder / "token.jwt")},
                "protected": "/me",
                "login": f"{url}/token",
                "refresh": f"{url}/refresh",
                "username": USER,
                "password": f"file:{place.folder / 'password'}",
                **self.declared(place, twin),
            },
        }

    async def post(self, place: OwnPlace, path: str, **fields: str) -> httpx.Response:
        """One POST over a connection of its own."""
        async with httpx.AsyncClient(base_url=place.application.url, timeout=10) as client:
            return await client.post(path, data=fields)

    async def log_in(self, place: OwnPlace) -> Mapping[str, Any]:
        """What a login gives."""
        answer: Mapping[str, Any] = (
            await self.post(place, "/token", username=USER, password=PASSWORD)
        ).json()
        return answer

    async def status(self, place: OwnPlace, token: str = "") -> int:
        """The API's answer to a token, or to none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return (await place.application.ask("GET", "/me", headers)).status_code

    async def race(self, place: OwnPlace) -> tuple[list[int], int]:
        """Statuses of two refreshes at once, and of the next one by the winner."""
        token = (await self.log_in(place))["refresh_token"]
        both = await asyncio.gather(
            *(self.post(place, "/refresh", refresh_token=token) for _ in range(2))
        )
        winner = next(one for one in both if one.status_code == 200)
        token = winner.json()["refresh_token"]
        after = await self.post(place, "/refresh", refresh_token=token)
        return sorted(one.status_code for one in both), after.status_code

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        sample = (place.folder / "token.jwt").read_text()
        return {
            "sample_status": [await self.status(place, sample)],
            "bare_status": [await self.status(place)],
        }
