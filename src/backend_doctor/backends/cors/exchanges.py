"""Declared requests of clients, and what a server answered to them."""

import msgspec

from backend_doctor.backends.cors.fetch import Credentials, Hop, Request, Seen
from backend_doctor.backends.http.answers import Sample


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. ``headers`` are those that matter, in the order in which they came.

    ``refused`` is what the body says that the CORS middleware objects to; ``location`` lacks its
    query; ``author`` is the stack that wrote it, where that can be told.
    """

    status: int
    headers: dict[str, str] = {}
    location: str = ""
    refused: str = ""
    author: str = ""

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
    went. ``declared`` is False for an origin that is to be refused; ``guise`` tells how one that
    was made up resembles a declared one.
    """

    origin: str
    method: str
    path: str
    headers: dict[str, str] = {}
    credentials: bool = False
    declared: bool = True
    guise: str = ""
    preflight: Response | None = None
    answers: tuple[tuple[Step, ...], ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def request(self) -> Request:
        """As the decision needs it."""
        mode: Credentials = "include" if self.credentials else "same-origin"
        return Request(self.origin, self.method, self.headers, mode)

    @property
    def is_sent(self) -> bool:
        """Whether the request itself goes out: methods that may change something never do."""
        return self.request.normal_method in ("GET", "HEAD")

    @property
    def responses(self) -> tuple[Response, ...]:
        """Every answer to it, in the order in which they came."""
        first = [self.preflight] if self.preflight else []
        steps = [step for walk in self.answers for step in walk]
        # the preflight stands in the first step of each walk too
        onward = [step.preflight for walk in self.answers for step in walk[1:] if step.preflight]
        return (*first, *(step.actual for step in steps), *onward)

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
