"""Real uvicorn servers in a thread, with their access log; and how to examine them."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from threading import Thread
from typing import Any, Self

import uvicorn

from backend_doctor.deadlines import Timing
from backend_doctor.demo.servers import free_port
from backend_doctor.endpoint import Endpoint
from backend_doctor.engine import Engine, Examinee
from backend_doctor.facts import Instance, Service, Setting
from backend_doctor.judge import judge
from backend_doctor.model import Report, Result, Status
from backend_doctor.registry import load_checks

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Any]


class WebServer(logging.Handler):
    """Serves an ASGI application; ``requests`` are (method, path, status) of its access log."""

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(logging.INFO)
        self.port = free_port()
        self.requests: list[tuple[str, str, int]] = []
        self._secure = "ssl_certfile" in options
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, port=self.port, log_config=None, timeout_graceful_shutdown=1, **options
            )
        )
        self._thread = Thread(target=self._server.run, daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        """One line of the access log."""
        if isinstance(record.args, tuple) and len(record.args) == 5:
            _, method, path, _, status = record.args
            self.requests.append((str(method), str(path), int(str(status))))

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'https' if self._secure else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        log = logging.getLogger("uvicorn.access")
        log.setLevel(logging.INFO)
        log.addHandler(self)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            self._thread.join(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(5)
        logging.getLogger("uvicorn.access").removeHandler(self)


def examinee(kind: str, url: str, **settings: Setting) -> Examinee:
    """One HTTP-like backend of the service ``shop``."""
    host, _, port = url.partition("://")[2].partition(":")
    endpoint = Endpoint(
        kind=kind, hosts=((host, int(port)),), url=url, scope=repr(sorted(settings.items()))
    )
    instance = Instance(
        service="shop",
        backend=kind,
        name=kind,
        address=endpoint.address,
        host=host,
        port=int(port),
        settings=settings,
    )
    return Examinee(instance, endpoint)


def examine(examinees: Iterable[Examinee], *, window: float = 0.3, connect: float = 2.0) -> Report:
    """The report on one service, by all checks of its kinds."""
    found = list(examinees)
    service = Service(name="shop", instances=tuple(one.instance for one in found))
    checks = load_checks(backends={one.instance.backend for one in found}, plugins=False)
    engine = Engine(checks.values(), Timing(window=window, connect=connect))
    return judge(asyncio.run(engine.gather([service], found)), checks.values())


def alarms(report: Report) -> list[Result]:
    """What stands at warning or above."""
    return [r for r in report.results if r.finding.status in (Status.WARNING, Status.CRITICAL)]


def causes(results: Iterable[Result]) -> list[str]:
    """Their causes in order."""
    return [r.finding.cause.label for r in results if r.finding.cause]


@contextlib.contextmanager
def serving(app: App, **options: Any) -> Iterator[WebServer]:
    """A server that runs, and in the end its log is shown to hold reads of ours only."""
    with WebServer(app, **options) as server:
        yield server
        assert {method for method, _, _ in server.requests} <= {"GET", "HEAD", "OPTIONS"}
