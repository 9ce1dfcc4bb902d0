"""How the health path answers, over several requests, one after the other."""

import asyncio
import time
from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.http.clock import clock_ahead
from backend_doctor.backends.http.connection import HttpConnection, Reply
from backend_doctor.backends.http.errors import (
    POSTGRES_POOL_ERRORS,
    pool_of,
    pool_wait_of,
    recognise,
)
from backend_doctor.facts import Fact, Instance

SAMPLES = 6
# of a redirect; where it leads to is asked besides
_REDIRECTS = 3
_PAUSE = 0.1
# the last request starts within it; a stuck application costs one request's limit more
_BUDGET = 2.5
_TOO_MANY_REQUESTS = 429


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One GET. ``status`` 0 when no answer came, and ``problem`` says why.

    ``error`` is the canonical name of a known error in the body, ``pool`` the (size, overflow)
    that it tells of, and ``pool_wait`` its timeout in seconds; the body itself is not kept.
    ``clock`` is the least and the most by which the server's clock is ahead of ours, in seconds.
    """

    path: str
    status: int
    seconds: float
    content_type: str = ""
    error: str = ""
    pool: tuple[int, int] | None = None
    pool_wait: float | None = None
    problem: str = ""
    clock: tuple[float, float] | None = None

    @property
    def redirected(self) -> bool:
        """Whether it leads elsewhere."""
        return 300 < self.status < 400 and self.status != 304

    @property
    def failed(self) -> bool:
        """Whether the server failed: a status of 5xx, or no answer."""
        return self.status == 0 or self.status >= 500

    @property
    def starved(self) -> bool:
        """Whether it got no connection to PostgreSQL, by its own words or by coming to no end."""
        return self.error in POSTGRES_POOL_ERRORS or self.unanswered

    @property
    def unanswered(self) -> bool:
        """Whether it came to no end for as long as we wait."""
        return self.problem.startswith("no answer within")

    @property
    def result(self) -> str:
        """Status or problem, for people."""
        return str(self.status) if self.status else self.problem


def sample_of(path: str, reply: Reply) -> Sample:
    """What is kept of a reply: its body is read for known errors only where it failed."""
    failed = reply.status >= 400
    return Sample(
        path=path,
        status=reply.status,
        seconds=reply.seconds,
        content_type=reply.headers.get("content-type", "").partition(";")[0][:80],
        error=recognise(reply.body) if failed else "",
        pool=pool_of(reply.body) if failed else None,
        pool_wait=pool_wait_of(reply.body) if failed else None,
        problem=reply.problem,
        clock=clock_ahead(reply.headers, reply.seconds, time.time()),
    )


class HealthAnswers(Fact, frozen=True):
    """Several GETs of the health path at ``url``; ``declared`` whether it is configured."""

    seconds_limit: ClassVar[float] = 7.5

    url: str
    path: str
    declared: bool
    samples: tuple[Sample, ...]

    @classmethod
    async def collect(cls, http: HttpConnection, instance: Instance) -> Self:
        """Up to six GETs, three of a redirect, one at a time; it stops when told to (429)."""
        declared = instance.settings.get("health")
        path = str(declared or "/")
        began, samples = time.monotonic(), list[Sample]()
        while len(samples) < SAMPLES and time.monotonic() - began < _BUDGET:
            if samples:
                await asyncio.sleep(_PAUSE)
            samples.append(sample_of(path, await http.ask("GET", path)))
            redirects = sum(sample.redirected for sample in samples)
            if samples[-1].status == _TOO_MANY_REQUESTS or redirects == _REDIRECTS:
                break
        return cls(
            url=http.url_of(path), path=path, declared=bool(declared), samples=tuple(samples)
        )
