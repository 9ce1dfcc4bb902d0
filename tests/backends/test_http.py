"""The HTTP face of a service against real servers: reached or not, healthy or not, and why."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from tests.servers.certificates import Issued
from tests.servers.listener import BannerServer, Listener
from tests.servers.web import alarms, causes, examine, examinee, serving

from backend_doctor.backends.http.certificate import Certificate
from backend_doctor.backends.http.connection import BODY_CAP, HttpConnection, connect
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.endpoint import Endpoint, Tls
from backend_doctor.engine import Examinee
from backend_doctor.facts import Absent, Instance, Login, Problem
from backend_doctor.model import Status


def endpoint(url: str, **fields: Any) -> Endpoint:
    host, _, port = url.partition("://")[2].partition(":")
    return Endpoint(kind="http", hosts=((host, int(port)),), url=url, **fields)


def log_in(place: Endpoint, limit: float = 2.0) -> Login:
    async def once() -> Login:
        login, connection = await connect(place, limit=limit)
        if connection is not None:
            await connection.close()
        return login

    return asyncio.run(once())


def using(url: str, work: Callable[[HttpConnection], Any]) -> Any:
    async def once() -> Any:
        login, connection = await connect(endpoint(url), limit=2.0)
        assert connection is not None, login
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(once())


def health_app() -> FastAPI:
    app, asked = FastAPI(), list[None]()

    @app.get("/healthz")
    async def healthy() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(1.1)
        return "at last"

    @app.get("/down")
    async def down() -> None:
        raise KeyError("no")

    @app.get("/sometimes")
    async def sometimes() -> Response:
        asked.append(None)
        return Response(status_code=503 if len(asked) % 4 == 0 else 200)

    @app.get("/private")
    async def private() -> Response:
        return Response(status_code=401)

    @app.get("/much")
    async def much() -> Response:
        return PlainTextResponse("x" * 3 * BODY_CAP)

    @app.get("/moved")
    async def moved() -> Response:
        return RedirectResponse("/healthz")

    return app


@pytest.mark.parametrize(
    ("path", "status", "label"),
    [
        ("/healthz", Status.OK, None),
        ("/moved", Status.OK, None),
        ("/down", Status.CRITICAL, "http.server_error"),
        ("/sometimes", Status.WARNING, "http.server_error"),
        ("/private", Status.WARNING, "http.health_refused"),
        ("/absent", Status.WARNING, "http.health_refused"),
    ],
)
def test_health(path: str, status: Status, label: str | None) -> None:
    with serving(health_app()) as server:
        report = examine([examinee("http", server.url, health=path)])
    assert report.status is status
    assert causes(alarms(report)) == [label] * (label is not None)
    # one to say hello, and two looks
    assert len(server.requests) <= 1 + 2 * 6
    redirected = {"/healthz"} if path == "/moved" else set()
    assert {path for _, path, _ in server.requests} == {"/", path} | redirected


def test_waiting_for_late_answers_counts_into_the_window() -> None:
    with serving(health_app()) as server:
        report = examine([examinee("http", server.url, health="/slow")], window=3)
    assert causes(alarms(report)) == ["http.slow"]
    (target,) = report.targets
    # two looks of 3.6 s each
    assert target.seconds < 3 + 6
    assert target.statements >= 1 + 2 * 2


def test_a_health_path_that_nobody_declared_may_be_missing() -> None:
    with serving(health_app()) as server:
        report = examine([examinee("http", server.url)])
    assert report.status is Status.OK
    assert "no health path is declared" in str(report.results)


def test_other_methods_are_never_sent_and_bodies_are_cut() -> None:
    async def work(http: HttpConnection) -> None:
        reply = await http.ask("GET", "/much")
        assert (reply.status, len(reply.body)) == (200, BODY_CAP)
        assert (await http.ask("GET", "/moved")).status == 307
        for method in ("POST", "PUT", "DELETE", "PATCH", "get"):
            with pytest.raises(ValueError, match="not among"):
                await http.ask(method, "/healthz")
        assert http.statements == 3

    with serving(health_app()) as server:
        using(server.url, work)
    assert [path for _, path, _ in server.requests] == ["/", "/much", "/moved"]


def test_a_slow_answer_is_given_up_and_the_next_is_had() -> None:
    async def work(http: HttpConnection) -> None:
        late = await http.ask("GET", "/slow", limit=0.2)
        assert (late.status, late.problem) == (0, "no answer within 0.2 s")
        assert (await http.ask("GET", "/healthz")).status == 200

    with serving(health_app()) as server:
        using(server.url, work)


def test_what_is_aborted_is_cut_off() -> None:
    async def work(http: HttpConnection) -> None:
        http.abort()
        await http.close()
        assert http.is_closed()

    with serving(health_app()) as server:
        using(server.url, work)


def test_failures_to_connect_are_told_apart() -> None:
    assert log_in(endpoint("http://no-such-host.invalid:80")).problem is Problem.NAME_UNKNOWN
    assert log_in(endpoint("http://127.0.0.1:1")).problem is Problem.REFUSED
    with Listener() as silent:
        login = log_in(endpoint(f"http://127.0.0.1:{silent.port}"), limit=1.5)
        assert login.problem is Problem.TIMED_OUT
        assert login.seconds < 2.5
    for protocol, name in (("ssh", "SSH"), ("redis", "Redis"), ("mysql", "MySQL")):
        with BannerServer(protocol) as other:
            login = log_in(endpoint(f"http://127.0.0.1:{other.port}"))
            assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, name)


def make_certificate(folder: Path, days: float) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1, and its key, as files."""
    return Issued("shop", hosts=("127.0.0.1",), days=days).written(folder)


def trusting(place: Examinee, certificate: str) -> Examinee:
    url, tls = place.endpoint.url, Tls(ca_file=certificate)
    return Examinee(place.instance, endpoint(url, tls=tls))


@pytest.mark.parametrize(
    ("days", "status", "expected"),
    [
        (60, Status.OK, []),
        (10, Status.WARNING, ["tls.expires_soon"]),
        (1, Status.CRITICAL, ["tls.expires_soon"]),
        (-2, Status.CRITICAL, ["tls.expired", "reach.tls"]),
    ],
)
def test_certificates(tmp_path: Path, days: float, status: Status, expected: list[str]) -> None:
    certificate, key = make_certificate(tmp_path, days)
    with serving(health_app(), ssl_certfile=certificate, ssl_keyfile=key) as server:
        place = trusting(examinee("http", server.url, health="/healthz"), certificate)
        report = examine([place])
    assert report.status is status
    assert causes(alarms(report)) == expected
    assert causes(report.roots) == expected[:1]
    dated = [e for r in report.results for e in r.finding.evidence if e.key.startswith("certif")]
    assert "CN=shop" in dated[0].text


def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, 60)
    with serving(health_app(), ssl_certfile=certificate, ssl_keyfile=key) as server:
        login = log_in(endpoint(server.url))
        assert login.problem is Problem.TLS
        assert "self-signed" in login.message
        assert log_in(endpoint(server.url.replace("https", "http"))).answered_by == "TLS"
    missing = endpoint("https://127.0.0.1:1", tls=Tls(ca_file=str(tmp_path / "absent.pem")))
    assert "cannot be read" in log_in(missing).message
    with serving(health_app()) as plain:
        login = log_in(endpoint(plain.url.replace("http", "https")))
        assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, "plain HTTP")


def test_no_certificate_can_be_read_from_what_is_none() -> None:
    with pytest.raises(Absent, match="cannot be read"):
        Certificate.of((b"\x30\x03abc",))
    instance = Instance(
        service="shop", backend="http", name="http", address="a", host="127.0.0.1", port=1
    )
    login = Login(problem=Problem.TLS, address="a")
    with pytest.raises(Absent, match="handshake fails"):
        asyncio.run(Certificate.collect(None, login, instance))


def test_the_context_always_verifies() -> None:
    from backend_doctor.backends.http.connection import tls_context

    context = tls_context(Tls(mode="require"))
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def pooled_app(url: str, *, size: int, workers: int, handled: bool) -> FastAPI:
    """Workers and requests share one pool; statements take 50 ms and nothing leaks."""
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=0.25,
        connect_args={"server_settings": {"application_name": "shop-api"}},
    )

    async def work() -> None:
        while True:
            with contextlib.suppress(SQLAlchemyError):
                await query()

    async def query() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(0.05)"))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    if handled:

        @app.middleware("http")
        async def said(request: Any, proceed: Any) -> Any:
            try:
                return await proceed(request)
            except SQLAlchemyError as error:
                return PlainTextResponse(str(error), status_code=500)

    app.add_api_route("/api/orders", query)
    app.add_api_route("/readyz", query)
    return app


def pooled_report(server: PostgresServer, **options: Any) -> Any:
    place = parse_url(server.url(), place="test")
    database = Examinee(
        Instance(
            service="shop",
            backend="postgres",
            name="postgres",
            address=place.address,
            host=place.host,
            port=place.port,
            settings={"pool_size": options["size"], "max_overflow": 0},
        ),
        place,
    )
    url = server.url().replace("postgresql://", "postgresql+asyncpg://")
    with serving(pooled_app(url, **options)) as web:
        asyncio.run(asyncio.sleep(1))
        origins = ("https://shop.example",)
        clients = examinee("cors", web.url, origins=origins, paths=("/api/orders",))
        return examine([database, examinee("http", web.url, health="/readyz"), clients], window=2)


@pytest.mark.parametrize("handled", [True, False])
def test_a_pool_too_small_is_the_root_of_500s_and_of_cors_errors(
    postgres18: PostgresServer, handled: bool
) -> None:
    report = pooled_report(postgres18, size=2, workers=60, handled=handled)
    (root,) = [one for one in report.roots if one in alarms(report)]
    assert causes([root]) == ["pool.undersized"]
    beneath = causes(report.beneath(root))
    assert "http.server_error" in beneath
    assert "cors.error_masks_5xx" in beneath
    shared = {str(s) for r in report.beneath(root) for s in r.explained_by.shared}
    # an error that the answers name is shared by both, else each has its own path in common
    paths = {"endpoint /readyz", "endpoint /api/orders"}
    assert shared >= ({"error sqlalchemy.pool_timeout"} if handled else paths)


def test_a_small_pool_that_suffices_raises_no_alarm(postgres18: PostgresServer) -> None:
    report = pooled_report(postgres18, size=2, workers=2, handled=False)
    assert not alarms(report)
