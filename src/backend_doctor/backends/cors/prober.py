"""Asks a server as a browser would, with OPTIONS, GET and HEAD alone."""

import asyncio
import time
from urllib.parse import urlsplit

import msgspec

from backend_doctor.backends.cors.exchanges import Exchange, Response, Step
from backend_doctor.backends.cors.fetch import Leg, absolute
from backend_doctor.backends.cors.safelist import unsafe_headers
from backend_doctor.backends.cors.stacks import author_of, objection
from backend_doctor.backends.http.answers import Sample, sample_of
from backend_doctor.backends.http.connection import HttpConnection, Reply

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
MOST = 12
"""Requests for one client and path, opening the connection and strange origins included."""
MOST_OWN = 4
"""Of these, how many are the client's own where no redirects ask for more."""
_MOST_HOPS = 3
_BUDGET = 8.0
_PAUSE = 0.1
_TOO_MANY_REQUESTS = 429
# servers answer otherwise to a cookie (Starlette before 1.0); this one means nothing to any
_COOKIE = ("Cookie", "backend-doctor=probe")


def _public(url: str) -> str:
    """Without what may be private; that it held a login is still to be seen."""
    parts = urlsplit(url)
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=at + host, query="", fragment="").geturl()


def _response(reply: Reply, url: str) -> Response:
    location = reply.headers.get("location", "")
    there = absolute(url, location) if location else ""
    return Response(
        status=reply.status,
        headers={name: value for name, value in reply.headers.items() if name in _KEPT},
        location=_public(there) or ("about:invalid" if location else ""),
        refused=objection(reply.body),
        author=author_of(reply.headers, reply.body),
    )


class Prober:
    """Asks within a budget of seconds, and no more once it is told that it asks too much."""

    def __init__(self, http: HttpConnection) -> None:
        self._http = http
        self._end = time.monotonic() + _BUDGET
        self.cut = False
        self.throttled = False

    @property
    def spent(self) -> bool:
        """Whether no more may be asked."""
        self.cut = self.cut or time.monotonic() >= self._end
        return self.cut or self.throttled

    async def _ask(self, method: str, leg: Leg, headers: list[tuple[str, str]]) -> Reply:
        reply = await self._http.ask(method, leg.url, [("Origin", leg.origin), *headers])
        self.throttled = self.throttled or reply.status == _TOO_MANY_REQUESTS
        return reply

    def _first(self, exchange: Exchange) -> Leg:
        return Leg(exchange.request, self._http.url_of(exchange.path))

    async def _preflight(self, leg: Leg) -> Response:
        names = ",".join(unsafe_headers(leg.request.headers))
        headers = [
            ("Access-Control-Request-Method", leg.request.normal_method),
            *([("Access-Control-Request-Headers", names)] if names else []),
        ]
        return _response(await self._ask("OPTIONS", leg, headers), leg.url)

    async def _walk(self, exchange: Exchange, samples: list[Sample]) -> tuple[Step, ...]:
        """The answer, and what its redirects lead to as long as they stay on this host."""
        leg, steps, preflight = self._first(exchange), list[Step](), exchange.preflight
        cookie = [_COOKIE] if exchange.credentials or not exchange.declared else []
        while len(steps) < _MOST_HOPS:
            reply = await self._ask(leg.request.normal_method, leg, cookie)
            if not steps:
                samples.append(sample_of(exchange.path, reply))
            answer = _response(reply, leg.url)
            steps.append(Step(url=_public(leg.url), preflight=preflight, actual=answer))
            # the query goes along on the way, and into no report
            location = {"location": reply.headers.get("location", "")}
            onward = leg.onward(msgspec.structs.replace(answer.seen, headers=location))
            if onward is None or not self._http.is_near(onward.url):
                break
            leg = onward
            preflight = await self._preflight(leg) if leg.preflights else None
        return tuple(steps)

    async def asked(self, exchange: Exchange) -> Exchange:
        """The exchange with the preflight's answer."""
        return msgspec.structs.replace(
            exchange, preflight=await self._preflight(self._first(exchange))
        )

    async def tried(self, exchange: Exchange) -> Exchange:
        """The exchange with its answer; other methods than GET and HEAD are not sent."""
        found = await self.asked(exchange)
        return await self.again(found) if found.is_sent else found

    async def probed(self, exchange: Exchange, *, cookie: bool) -> Exchange:
        """The exchange with one answer and no more: to the preflight where GET is not sent."""
        if not exchange.is_sent:
            return await self.asked(exchange)
        leg = self._first(exchange)
        reply = await self._ask(leg.request.normal_method, leg, [_COOKIE] if cookie else [])
        step = Step(url=_public(leg.url), actual=_response(reply, leg.url))
        return msgspec.structs.replace(exchange, answers=((step,),))

    async def again(self, exchange: Exchange) -> Exchange:
        """The exchange with one answer more."""
        samples = list(exchange.samples)
        steps = await self._walk(exchange, samples)
        return msgspec.structs.replace(
            exchange, answers=(*exchange.answers, steps), samples=tuple(samples)
        )

    async def repeated(self, exchanges: list[Exchange]) -> list[Exchange]:
        """The first of each path asked again as long as there is time: errors come and go."""
        paths = {
            one.path: number for number, one in reversed([*enumerate(exchanges)]) if one.answers
        }
        found = list(exchanges)
        for _ in range(MOST_OWN):
            for number in paths.values():
                room = len(found[number].responses) < MOST_OWN
                if room and time.monotonic() < self._end and not self.throttled:
                    await asyncio.sleep(_PAUSE)
                    found[number] = await self.again(found[number])
        return found
