"""A page of another origin that calls the application, and what a browser would be answered."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
from tests.scenarios.frame.fault import OwnFault
from tests.scenarios.frame.names import Names
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace, Place

_THINGS = ("orders", "invoices", "bookings", "parcels", "tickets")
_DOMAINS = ("example.com", "example.org", "example.net")


@dataclass(frozen=True)
class Page:
    """A page's ``origin``, another ``known`` one, a ``stranger``, and the ``path`` it calls."""

    origin: str
    known: str
    stranger: str
    path: str


def page(names: Names, seed: int) -> Page:
    """The page of a seed; equal for a scenario and its twin."""
    random = Random(f"{seed}/{names.service}/{names.database}")
    domain = random.choice(_DOMAINS)
    first, second = random.sample(("app", "www", "admin", "my", "m"), 2)
    return Page(
        origin=f"https://{names.service}-{first}.{domain}",
        known=f"https://{names.service}-{second}.{domain}",
        stranger=f"https://{random.choice(('evil', 'phish', 'ads'))}.example",
        path=f"{random.choice(('', '/api', '/v1'))}/{random.choice(_THINGS)}",
    )


async def visit(
    place: Place, here: Page, headers: tuple[str, ...] = (), method: str = "GET"
) -> Facts:
    """What the preflight and a GET of the page are answered."""
    asked = {"Access-Control-Request-Headers": ",".join(headers)} if headers else {}
    origin = {"Origin": here.origin}
    wanted = {**origin, "Access-Control-Request-Method": method, **asked}
    preflight = await place.application.ask("OPTIONS", here.path, wanted)
    answer = await place.application.ask("GET", here.path, origin)
    stranger = await place.application.ask("GET", here.path, {"Origin": here.stranger})
    return {
        "page_origin": [here.origin],
        "page_path": [here.path],
        "preflight_status": [preflight.status_code],
        "preflight_origin": [_allowed(preflight)],
        "preflight_methods": [preflight.headers.get("access-control-allow-methods", "")],
        "preflight_headers": [preflight.headers.get("access-control-allow-headers", "").lower()],
        "preflight_location": [preflight.headers.get("location", "")],
        "answer_status": [answer.status_code],
        "answer_origin": [_allowed(answer)],
        "answer_location": [answer.headers.get("location", "")],
        "answer_credentials": [answer.headers.get("access-control-allow-credentials", "")],
        "answer_vary": [answer.headers.get("vary", "")],
        "answer_cache": [answer.headers.get("cache-control", "")],
        "stranger_origin": [_allowed(stranger)],
    }


def _allowed(response: httpx.Response) -> str:
    return str(response.headers.get("access-control-allow-origin", ""))


async def browse_health(place: Place) -> None:
    """Somebody else's healthy load."""
    async with httpx.AsyncClient(base_url=place.application.url) as client:
        while True:
            await client.get("/healthz")
            await asyncio.sleep(place.random.uniform(0.05, 0.15))


class CorsFault(OwnFault):
    """A fault of the application's face to browsers."""

    kind = "cors"

    @abstractmethod
    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        """How the application is made; its path is given."""

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        """What is declared of the client beside its origin and path."""
        return {}

    def here(self, place: OwnPlace) -> Page:
        """The page of this run."""
        return page(place.names, place.seed)

    async def inject(self, place: OwnPlace) -> None:
        await self._start(place, twin=False)

    async def inject_twin(self, place: OwnPlace) -> None:
        await self._start(place, twin=True)

    async def _start(self, place: OwnPlace, *, twin: bool) -> None:
        here = self.here(place)
        await place.start("webapp.py", {"path": here.path, **self.task(place, here, twin)})
        place.run(browse_health(place))

    def entries(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        here, url = self.here(place), place.application.url
        declared = {"origins": [here.origin], "paths": [here.path], "methods": ["GET"]}
        return {
            "http": {"url": url, "health": "/healthz"},
            "cors": {"url": url, **declared, **self.client(place, here, twin)},
        }

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        here = self.here(place)
        client = self.client(place, here, twin)
        (method, *_) = client.get("methods", ("GET",))
        return await visit(place, here, tuple(client.get("headers", ())), method)
