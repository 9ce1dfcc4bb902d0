"""Where the health path leads to, step by step, on the configured host only."""

import time
from enum import StrEnum
from typing import ClassVar, Self
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from backend_doctor.backends.http.answers import HealthAnswers
from backend_doctor.backends.http.connection import REQUEST_SECONDS, HttpConnection, Reply
from backend_doctor.facts import Fact
from backend_doctor.text import shorten, storable

# browsers give up after 20; a service that needs ten is broken all the same
MOST_STEPS = 10
_REDIRECTS = {301, 302, 303, 307, 308}
_LONGEST = 2_000
# seconds for all steps, and for the last of them at least
_BUDGET, _QUICKEST = 6.0, 0.2
# what stands in URLs without being escaped, and the sign of escapes
_KEPT = "%!#$&'()*+,/:;=?@[]~"


class End(StrEnum):
    """How a chain of redirects ends; ELSEWHERE and INSECURE are not followed."""

    ANSWER = "answer"
    LOOP = "loop"
    ENDLESS = "endless"
    ELSEWHERE = "elsewhere"
    INSECURE = "insecure"
    NOWHERE = "nowhere"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One redirect: what was asked, and what its Location names, both without their query."""

    url: str
    status: int
    target: str

    @property
    def slash_only(self) -> bool:
        """Whether both differ in the slash at their end alone."""
        return self.url != self.target and self.url.rstrip("/") == self.target.rstrip("/")


class Redirects(Fact, frozen=True):
    """The steps from ``path`` on, none where it answers itself; ``status`` is the last answer's,
    0 where none came, and ``problem`` then says why. ``declared`` whether the path is configured.
    """

    seconds_limit: ClassVar[float] = 9.0

    url: str
    path: str
    declared: bool
    steps: tuple[Step, ...]
    end: End
    status: int
    problem: str = ""

    @classmethod
    async def collect(cls, http: HttpConnection, answers: HealthAnswers) -> Self:
        """One GET for each step, with the cookies that were set on the way and nothing else that
        is private; none where the health path answers itself."""
        steps, end, last = list[Step](), End.ANSWER, answers.samples[-1]
        status, problem = last.status, last.problem
        if last.redirected:
            steps, end, reply = await _walk(http, answers.url)
            status, problem = reply.status, reply.problem
        return cls(
            url=answers.url,
            path=answers.path,
            declared=answers.declared,
            steps=tuple(steps),
            end=end,
            status=status,
            problem=problem,
        )


async def _walk(http: HttpConnection, url: str) -> tuple[list[Step], End, Reply]:
    steps, taken = list[Step](), set[tuple[str, str]]()
    ends = time.monotonic() + _BUDGET
    while True:
        left = max(_QUICKEST, ends - time.monotonic())
        reply = await http.ask("GET", url, limit=min(left, REQUEST_SECONDS))
        if reply.status not in _REDIRECTS:
            return steps, End.ANSWER, reply
        target = _target(url, reply.headers.get("location", ""))
        steps.append(Step(url=_told(url), status=reply.status, target=_told(target)))
        end = _end(http, url, target)
        # a site may set a cookie and lead back to itself, once
        if end is None and (url, target) in taken:
            end = End.LOOP
        if end is None and len(steps) == MOST_STEPS:
            end = End.ENDLESS
        if end is not None:
            return steps, end, reply
        taken.add((url, target))
        url = target


def _target(url: str, location: str) -> str:
    """The whole URL that a Location names, or "" where it names none that can be asked."""
    if not location or len(location) > _LONGEST:
        return ""
    try:
        named = urlsplit(location)
        target = urljoin(url, quote(location, safe=_KEPT)).partition("#")[0]
        parts = urlsplit(target)
        usable = (
            (bool(named.netloc) or not named.scheme)
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
        )
    except ValueError:
        return ""
    return target if usable and parts.username is None else ""


def _end(http: HttpConnection, url: str, target: str) -> End | None:
    """Why a target is not followed."""
    if not target:
        return End.NOWHERE
    if url.startswith("https:") and target.startswith("http:"):
        return End.INSECURE
    return None if http.is_near(target) else End.ELSEWHERE


def _told(url: str) -> str:
    return storable(shorten(url.partition("?")[0], 200))
