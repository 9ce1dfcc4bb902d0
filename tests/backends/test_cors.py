"""Cross-origin requests against real FastAPI servers with one fault each, and their twins."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp
from tests.servers.web import alarms, causes, examine, examinee, serving

from backend_doctor import Status
from backend_doctor.facts import Setting

PAGE = "https://shop.example"
POLICY: dict[str, Any] = {
    "allow_origins": [PAGE],
    "allow_methods": ["GET", "PUT"],
    "allow_headers": ["authorization"],
    "allow_credentials": True,
}
CLIENT: dict[str, Setting] = {
    "origins": (PAGE,),
    "methods": ("GET", "PUT"),
    "headers": ("authorization",),
    "paths": ("/api/orders",),
    "credentials": True,
}
SIMPLE: dict[str, Setting] = {"origins": (PAGE,), "paths": ("/api/orders",)}
Build = Callable[[], ASGIApp]


def orders(**policy: Any) -> FastAPI:
    """The application; without a policy it has no CORS middleware."""
    app = FastAPI()
    if policy:
        app.add_middleware(CORSMiddleware, **policy)

    @app.get("/api/orders")
    async def listed() -> list[int]:
        return [1, 2]

    @app.get("/api/slash/")
    async def slashed() -> list[int]:
        return [1, 2]

    @app.get("/api/denied")
    async def denied() -> JSONResponse:
        return JSONResponse({}, status_code=401)

    @app.get("/api/broken")
    async def broken() -> None:
        raise KeyError("out of the CORS layer")

    return app


def before_cors(answer: Callable[[Request], Any]) -> ASGIApp:
    """Something outside of CORS that answers in its place, or passes on with None."""
    app = orders(**POLICY)

    @app.middleware("http")
    async def outer(request: Request, proceed: Any) -> Any:
        return answer(request) or await proceed(request)

    return app


def token_wanted(request: Request) -> Any:
    has = "authorization" in request.headers
    return None if has else JSONResponse({"detail": "not authenticated"}, status_code=401)


def options_moved(request: Request) -> Any:
    return RedirectResponse("/api/orders/", 307) if request.method == "OPTIONS" else None


def with_headers(*pairs: tuple[str, str], policy: dict[str, Any] | None = None) -> ASGIApp:
    """Headers that a proxy puts on top, duplicates included."""
    app = orders(**(policy or {}))

    @app.middleware("http")
    async def outer(request: Request, proceed: Any) -> Any:
        response = await proceed(request)
        response.raw_headers.extend((name.encode(), value.encode()) for name, value in pairs)
        return response

    return app


def echoing() -> ASGIApp:
    app = FastAPI()

    @app.middleware("http")
    async def echo(request: Request, proceed: Any) -> Any:
        response = JSONResponse([])
        response.headers["Access-Control-Allow-Origin"] = request.headers.get("origin", "")
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Allow-Headers"] = "authorization"
        response.headers["Access-Control-Allow-Methods"] = "GET, PUT"
        return response

    return app


ELSEWHERE = {"allow_origins": ["https://www.shop.example"]}
STAR = {"allow_origins": ["*"]}
STARRED = ("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true")
FAULTS: dict[str, tuple[Build, dict[str, Setting], str]] = {
    "origin": (lambda: orders(**{**POLICY, **ELSEWHERE}), CLIENT, "cors.origin_not_allowed"),
    "origin-simple": (lambda: orders(**ELSEWHERE), SIMPLE, "cors.origin_not_allowed"),
    "slash-in-origin": (
        lambda: orders(**{**POLICY, "allow_origins": [f"{PAGE}/"]}),
        CLIENT,
        "cors.origin_not_allowed",
    ),
    "header": (
        lambda: orders(**{**POLICY, "allow_headers": []}),
        CLIENT,
        "cors.header_not_allowed",
    ),
    "header-not-exposed": (
        lambda: orders(allow_origins=[PAGE], expose_headers=["x-page"]),
        {**SIMPLE, "expose": ("x-page", "x-total")},
        "cors.header_not_exposed",
    ),
    "method": (
        lambda: orders(**{**POLICY, "allow_methods": ["GET"]}),
        CLIENT,
        "cors.method_not_allowed",
    ),
    "wildcard": (
        lambda: with_headers(*STARRED),
        {**SIMPLE, "credentials": True},
        "cors.wildcard_with_credentials",
    ),
    "wildcard-of-starlette": (
        lambda: orders(**{**POLICY, **STAR}),
        CLIENT,
        "cors.wildcard_with_credentials",
    ),
    "wildcard-for-a-client-with-cookies": (
        lambda: orders(**STAR),
        {**SIMPLE, "credentials": True},
        "cors.wildcard_with_credentials",
    ),
    "credentials": (
        lambda: orders(**{**POLICY, "allow_credentials": False}),
        CLIENT,
        "cors.credentials_not_allowed",
    ),
    "auth": (lambda: before_cors(token_wanted), CLIENT, "cors.preflight_blocked_by_auth"),
    "redirect": (lambda: before_cors(options_moved), CLIENT, "cors.preflight_redirect"),
    "nothing": (orders, CLIENT, "cors.preflight_fails"),
    "duplicate": (
        lambda: with_headers(("Access-Control-Allow-Origin", PAGE), policy=POLICY),
        CLIENT,
        "cors.duplicate_header",
    ),
    "crash": (
        lambda: orders(**POLICY),
        {**CLIENT, "paths": ("/api/broken",)},
        "cors.error_masks_5xx",
    ),
    "unreadable-401": (
        lambda: before_cors(lambda r: token_wanted(r) if r.method == "GET" else None),
        CLIENT,
        "cors.auth_outside_cors",
    ),
    "hop": (
        lambda: before_cors(
            lambda r: RedirectResponse("/api/slash/") if r.url.path == "/api/orders" else None
        ),
        SIMPLE,
        "cors.redirect_without_headers",
    ),
    "pattern": (
        lambda: orders(**{**POLICY, "allow_origins": [], "allow_origin_regex": ".*"}),
        CLIENT,
        "cors.reflects_any_origin",
    ),
    "suffix": (
        lambda: orders(**{**POLICY, "allow_origin_regex": r"https://.*shop\.example"}),
        CLIENT,
        "cors.origin_pattern_hole",
    ),
    "null": (
        lambda: orders(**{**POLICY, "allow_origins": [PAGE, "null"]}),
        CLIENT,
        "cors.null_origin_allowed",
    ),
    "echo": (echoing, CLIENT, "cors.reflects_any_origin"),
    "refused-one-let-in": (
        lambda: orders(allow_origins=[PAGE, "https://evil.example"]),
        {**SIMPLE, "refused": ("https://evil.example",)},
        "cors.reflects_any_origin",
    ),
}


@pytest.mark.parametrize(("build", "client", "label"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_named_and_nothing_else(
    build: Build, client: dict[str, Setting], label: str
) -> None:
    with serving(build()) as server:
        report = examine([examinee("cors", server.url, **client)])
    assert {label} == set(causes(alarms(report)))
    assert [label] == causes(report.roots)[:1]
    assert report.targets[0].connections == 1


HEALTHY: dict[str, tuple[Build, dict[str, Setting]]] = {
    "all-allowed": (lambda: orders(**POLICY), CLIENT),
    "refused-by-policy": (
        lambda: orders(**POLICY),
        {**CLIENT, "refused": ("https://evil.example", "https://old.shop.example")},
    ),
    "public": (lambda: orders(**STAR), SIMPLE),
    "exposed": (
        lambda: orders(**POLICY, expose_headers=["x-total"]),
        {**CLIENT, "expose": ("x-total",)},
    ),
    "safelisted-headers-only": (
        lambda: orders(allow_origins=[PAGE]),
        {**SIMPLE, "headers": ("accept", "accept-language"), "methods": ("GET", "POST")},
    ),
    "readable-401": (lambda: orders(**POLICY), {**CLIENT, "paths": ("/api/denied",)}),
    "get-redirected": (lambda: orders(**POLICY), {**SIMPLE, "paths": ("/api/slash",)}),
    "readable-500": (
        lambda: CORSMiddleware(orders(), **POLICY),
        {**CLIENT, "paths": ("/api/broken",)},
    ),
}


@pytest.mark.parametrize(("build", "client"), HEALTHY.values(), ids=HEALTHY)
def test_healthy_twins_raise_no_alarm(build: Build, client: dict[str, Setting]) -> None:
    with serving(build()) as server:
        report = examine([examinee("cors", server.url, **client)])
    assert not alarms(report)
    assert report.status is Status.OK


def test_methods_that_change_something_are_never_sent() -> None:
    with serving(orders(**{**POLICY, "allow_methods": ["*"]})) as server:
        client = {**CLIENT, "methods": ("PUT", "DELETE", "PATCH", "POST")}
        report = examine([examinee("cors", server.url, **client)])
    assert {method for method, _, _ in server.requests} == {"OPTIONS"}
    notes = " ".join(note for result in report.results for note in result.finding.notes)
    assert "of DELETE, PATCH, POST, PUT only the preflight was judged" in notes
    assert len(server.requests) <= 40


def test_a_server_that_calls_a_halt_is_asked_no_more() -> None:
    halting = before_cors(lambda _: JSONResponse({}, status_code=429))
    with serving(halting) as server:
        report = examine([examinee("cors", server.url, **SIMPLE)])
    assert len(server.requests) <= 3
    notes = " ".join(note for result in report.results for note in result.finding.notes)
    assert "no more was asked after 1 of 1 declared requests" in notes


def test_an_error_that_can_be_read_is_the_applications() -> None:
    build, client = HEALTHY["readable-500"]
    with serving(build()) as server:
        report = examine([examinee("cors", server.url, **client)])
    notes = " ".join(note for result in report.results for note in result.finding.notes)
    assert "fails with 500 and the right CORS headers" in notes


def test_a_cache_that_mixes_origins_up() -> None:
    app = orders()

    @app.middleware("http")
    async def cached(request: Request, proceed: Any) -> Any:
        response = await proceed(request)
        if request.headers.get("origin") == PAGE:
            response.headers["Access-Control-Allow-Origin"] = PAGE
        response.headers["Cache-Control"] = "public, max-age=60"
        return response

    with serving(app) as server:
        report = examine([examinee("cors", server.url, **SIMPLE)])
    assert causes(alarms(report)) == ["cors.missing_vary"]


def test_an_unreachable_server_is_one_root() -> None:
    report = examine([examinee("cors", "http://127.0.0.1:1", **CLIENT)])
    assert causes(report.roots) == ["reach.refused"]
    assert len(report.roots) == 1
