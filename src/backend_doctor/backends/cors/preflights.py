"""What the server answers to the declared clients, and to origins that it must refuse."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator
from typing import ClassVar, Self
from urllib.parse import urljoin, urlsplit

import msgspec

from backend_doctor.backends.cors.fetch import Credentials, Hop, Request, Seen, unsafe_headers
from backend_doctor.backends.http.answers import Sample, sample_of
from backend_doctor.backends.http.connection import HttpConnection, Reply
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

_KEPT = {
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "vary",
    "cache-control",
    "age",
    "x-cache",
    "server",
}
_REPEATS = 4
_MOST_HOPS = 3
_BUDGET = 8.0
_PAUSE = 0.1
_REDIRECTS = {301, 302, 303, 307, 308}
# servers answer otherwise to a cookie (Starlette before 1.0); this one means nothing to any
_COOKIE = ("Cookie", "backend-doctor=probe")
# what a browser would send with these where the configuration names the header alone
_VALUES = {"content-type": "application/json"}


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. ``headers`` are those that matter, in the order in which they came.

    ``refused`` is what the body says that the CORS middleware objects to; ``location`` lacks its
    query.
    """

    status: int
    headers: dict[str, str] = {}
    location: str = ""
    refused: str = ""

    @property
    def allow_origin(self) -> str | None:
        """Access-Control-Allow-Origin."""
        return self.headers.get("access-control-allow-origin")

    @property
    def seen(self) -> Seen:
        """As the decision needs it."""
        extra = {"location": self.location} if self.location else {}
        return Seen(self.status, {**self.headers, **extra})


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One request on the way of an exchange."""

    url: str
    preflight: Response | None = None
    actual: Response


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One declared request, tried: its preflight, and its answer one or more times.

    ``answers`` is empty for methods that we never send, and ``samples`` tell how each answer
    went. ``declared`` is False for an origin that is to be refused.
    """

    origin: str
    method: str
    path: str
    headers: dict[str, str] = {}
    credentials: bool = False
    declared: bool = True
    preflight: Response | None = None
    answers: tuple[tuple[Step, ...], ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def request(self) -> Request:
        """As the decision needs it."""
        mode: Credentials = "include" if self.credentials else "same-origin"
        return Request(self.origin, self.method, self.headers, mode)

    @property
    def text(self) -> str:
        """What was tried, for people."""
        return f"{self.method} {self.path} from {self.origin}"


def hops(steps: tuple[Step, ...]) -> list[Hop]:
    """As the decision needs them."""
    return [
        Hop(step.url, step.preflight.seen if step.preflight else None, step.actual.seen)
        for step in steps
    ]


def _response(reply: Reply, url: str) -> Response:
    location = reply.headers.get("location", "")
    objection = "Disallowed CORS "
    return Response(
        status=reply.status,
        headers={name: value for name, value in reply.headers.items() if name in _KEPT},
        location=urlsplit(urljoin(url, location))._replace(query="", fragment="").geturl()
        if location
        else "",
        refused=reply.body[len(objection) : 80] if reply.body.startswith(objection) else "",
    )


class _Prober:
    """Asks as a browser would, within a budget of seconds."""

    def __init__(self, http: HttpConnection) -> None:
        self._http = http
        self._end = time.monotonic() + _BUDGET
        self.cut = False

    @property
    def spent(self) -> bool:
        """Whether no more may be asked."""
        self.cut = self.cut or time.monotonic() >= self._end
        return self.cut

    async def _preflight(self, exchange: Exchange, url: str) -> Response:
        names = ",".join(unsafe_headers(exchange.headers))
        headers = [
            ("Origin", exchange.origin),
            ("Access-Control-Request-Method", exchange.request.normal_method),
            *([("Access-Control-Request-Headers", names)] if names else []),
        ]
        return _response(await self._http.ask("OPTIONS", url, headers), url)

    async def _walk(
        self, exchange: Exchange, first: Response, samples: list[Sample]
    ) -> tuple[Step, ...]:
        """The answer, and what its redirects lead to as long as they stay on this server."""
        url, steps, preflight = self._http.url_of(exchange.path), list[Step](), first
        cookie = [_COOKIE] if exchange.credentials or not exchange.declared else []
        for _ in range(_MOST_HOPS):
            reply = await self._http.ask(
                exchange.method, url, [("Origin", exchange.origin), *cookie]
            )
            if not steps:
                samples.append(sample_of(exchange.path, reply))
            actual = _response(reply, url)
            steps.append(Step(url=url, preflight=preflight, actual=actual))
            onward = urljoin(url, reply.headers.get("location", ""))
            if actual.status not in _REDIRECTS or not self._http.is_own(onward):
                break
            url = onward
            preflight = await self._preflight(exchange, url)
        # a query may hold what is private
        return tuple(
            msgspec.structs.replace(step, url=urlsplit(step.url)._replace(query="").geturl())
            for step in steps
        )

    async def tried(self, exchange: Exchange) -> Exchange:
        """The exchange with its answer; other methods than GET and HEAD are not sent."""
        first = await self._preflight(exchange, self._http.url_of(exchange.path))
        found = msgspec.structs.replace(exchange, preflight=first)
        sent = exchange.request.normal_method in ("GET", "HEAD")
        return await self.again(found, first) if sent else found

    async def again(self, exchange: Exchange, preflight: Response) -> Exchange:
        """The exchange with one answer more."""
        samples = list(exchange.samples)
        steps = await self._walk(exchange, preflight, samples)
        return msgspec.structs.replace(
            exchange, answers=(*exchange.answers, steps), samples=tuple(samples)
        )

    async def repeated(self, exchanges: list[Exchange]) -> list[Exchange]:
        """The first of each path asked again as long as there is time: errors come and go."""
        paths = {
            one.path: number for number, one in reversed([*enumerate(exchanges)]) if one.answers
        }
        found = list(exchanges)
        for _ in range(_REPEATS):
            for number in paths.values():
                one = found[number]
                if time.monotonic() < self._end and one.preflight is not None:
                    await asyncio.sleep(_PAUSE)
                    found[number] = await self.again(one, one.preflight)
        return found


def _texts(instance: Instance, key: str) -> tuple[str, ...]:
    found = instance.settings.get(key)
    return found if isinstance(found, tuple) else ()


def _wanted(instance: Instance) -> Iterator[Exchange]:
    headers = {name.lower(): _VALUES.get(name.lower(), "x") for name in _texts(instance, "headers")}
    credentials = instance.settings.get("credentials") is True
    for path in _texts(instance, "paths") or ("/",):
        for origin in _texts(instance, "origins"):
            for method in _texts(instance, "methods") or ("GET",):
                yield Exchange(
                    origin=origin,
                    method=method,
                    path=path,
                    headers=headers,
                    credentials=credentials,
                )


def invented_origins(origins: tuple[str, ...], word: str) -> tuple[str, ...]:
    """Origins that no exact list holds: two strange ones, ``null``, and look-alikes of the
    first declared one by prefix and suffix. ``word`` makes them up."""
    strange = (f"https://{word}a.example", f"https://{word}b.invalid", "null")
    host = urlsplit(origins[0]).hostname if origins else None
    alike = (f"https://{word}{host}", f"https://{host}.{word}.example") if host else ()
    return strange + alike


class Preflights(Fact, frozen=True):
    """Every declared client of ``url`` tried, then the origins to refuse.

    ``refused`` are declared ones, ``strangers`` made up for this run; ``cut`` when the time
    was up before all of them were tried. ``wanted`` counts the declared exchanges.
    """

    seconds_limit: ClassVar[float] = 14.0

    url: str
    exchanges: tuple[Exchange, ...]
    refused: tuple[Exchange, ...] = ()
    strangers: tuple[Exchange, ...] = ()
    wanted: int = 0
    cut: bool = False

    @classmethod
    async def collect(cls, http: HttpConnection, instance: Instance) -> Self:
        """OPTIONS for each client, GET or HEAD for those that use them; nothing else is sent.

        Raises Absent where no client's origin is declared.
        """
        wanted = list(_wanted(instance))
        if not wanted:
            raise Absent("no client's origin is declared", kind=AbsenceKind.NOT_APPLICABLE)
        prober = _Prober(http)
        exchanges = await cls._all(prober, wanted)
        model, word = wanted[0], f"backend-doctor-{secrets.token_hex(3)}"
        made_up = invented_origins(_texts(instance, "origins"), word)
        refused = await cls._others(prober, model, _texts(instance, "refused"))
        strangers = await cls._others(prober, model, made_up)
        return cls(
            url=http.url,
            exchanges=tuple(await prober.repeated(exchanges)),
            refused=tuple(refused),
            strangers=tuple(strangers),
            wanted=len(wanted),
            cut=prober.cut,
        )

    @staticmethod
    async def _all(prober: _Prober, exchanges: Iterable[Exchange]) -> list[Exchange]:
        found = []
        for exchange in exchanges:
            if prober.spent:
                break
            found.append(await prober.tried(exchange))
        return found

    @classmethod
    async def _others(
        cls, prober: _Prober, model: Exchange, origins: tuple[str, ...]
    ) -> list[Exchange]:
        others = (
            msgspec.structs.replace(model, origin=origin, declared=False) for origin in origins
        )
        return await cls._all(prober, others)
