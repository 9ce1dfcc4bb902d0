"""How the health path answers, over several requests, one after the other."""

import asyncio
import time
from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.http.connection import HttpConnection, Reply
from backend_doctor.backends.http.errors import (
    POSTGRES_POOL_ERRORS,
    pool_of,
    pool_wait_of,
    recognise,
)
from backend_doctor.facts import Fact, Instance

SAMPLES = 6
_PAUSE = 0.1
# the last request starts within it; a stuck application costs one request's limit more
_BUDGET = 4.0
_TOO_MANY_REQUESTS = 429


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One GET. ``status`` 0 when no answer came, and ``problem`` says why.

    ``error`` is the canonical name of a known error in the body, ``pool`` the (size, overflow)
    that it tells of, and ``pool_wait`` its timeout in seconds; the body itself is not kept.
    """

    path: str
    status: int
    seconds: float
    content_type: str = ""
    error: str = ""
    pool: tuple[int, int] | None = None
    pool_wait: float | None = None
    problem: str = ""

    @property
    def failed(self) -> bool:
        """Whether the server failed: a status of 5xx, or no answer."""
        return self.status == 0 or self.status >= 500

    @property
    def starved(self) -> bool:
        """Whether it got no connection to PostgreSQL, by its own words or by coming to no end."""
        return self.error in POSTGRES_POOL_ERRORS or self.problem.startswith("no answer within")

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
    )


class HealthAnswers(Fact, frozen=True):
    """Several GETs of the health path at ``url``; ``declared`` whether it is configured."""

    seconds_limit: ClassVar[float] = 9.0

    url: str
    path: str
    declared: bool
    samples: tuple[Sample, ...]

    @classmethod
    async def collect(cls, http: HttpConnection, instance: Instance) -> Self:
        """Up to six GETs, one at a time; it stops when told that they are too many."""
        declared = instance.settings.get("health")
        path = str(declared or "/")
        began, samples = time.monotonic(), list[Sample]()
        while len(samples) < SAMPLES and time.monotonic() - began < _BUDGET:
            if samples:
                await asyncio.sleep(_PAUSE)
            samples.append(sample_of(path, await http.ask("GET", path)))
            if samples[-1].status == _TOO_MANY_REQUESTS:
                break
        return cls(
            url=http.url_of(path), path=path, declared=bool(declared), samples=tuple(samples)
        )
