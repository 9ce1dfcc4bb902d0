"""What users really hit, row by row, on real stacks: the cause by name, or nothing at all."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from flask import Flask
from flask import request as asked
from starlette.types import ASGIApp
from tests.servers.nginx import nginx
from tests.servers.web import alarms, causes, examine, examinee, serving
from tests.servers.wsgi import CORS_LAST, django_serving, flask_serving, flask_shop

from backend_doctor.demo.servers import free_port
from backend_doctor.facts import Setting
from backend_doctor.model import Report, Status

PAGE = "https://app.shop.example"
POLICY: dict[str, Any] = {
    "allow_origins": [PAGE],
    "allow_methods": ["GET", "POST", "PUT"],
    "allow_headers": ["authorization"],
    "allow_credentials": True,
}
SIMPLE: dict[str, Setting] = {"origins": (PAGE,), "paths": ("/api/orders",)}
JSON: dict[str, Setting] = {**SIMPLE, "headers": ("authorization",)}
COOKIES: dict[str, Setting] = {**SIMPLE, "credentials": True}
Stack = Callable[[], AbstractContextManager[str]]


def at(path: str, client: dict[str, Setting] = SIMPLE) -> dict[str, Setting]:
    return {**client, "paths": (path,)}


def wants_token(request: Request) -> None:
    if "authorization" not in request.headers:
        raise HTTPException(401)


def shop(policy: dict[str, Any] | None = POLICY, **options: Any) -> FastAPI:
    app = FastAPI(**options)
    if policy is not None:
        app.add_middleware(CORSMiddleware, **policy)

    @app.get("/api/orders")
    @app.get("/api/slash/")
    async def orders() -> list[int]:
        return []

    @app.get("/api/broken")
    async def broken() -> None:
        raise KeyError("nobody handles it")

    @app.get("/api/fails/{status}")
    async def fails(status: int) -> None:
        raise HTTPException(status)

    return app


def handled() -> FastAPI:
    app = shop()

    @app.exception_handler(Exception)
    async def told(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "sorry"}, 500)

    return app


def guarded(*, outside: bool) -> FastAPI:
    """An authentication of its own middleware, added after CORS or before."""
    app = shop(POLICY if outside else None)

    @app.middleware("http")
    async def auth(request: Request, proceed: Any) -> Any:
        has = "authorization" in request.headers
        return await proceed(request) if has else JSONResponse({"detail": "no"}, 401)

    if not outside:
        app.add_middleware(CORSMiddleware, **POLICY)
    return app


def with_options_route() -> FastAPI:
    app = shop(None, dependencies=[Depends(wants_token)])

    @app.options("/api/orders")
    async def preflight() -> dict[str, str]:
        return {}

    return app


def mounted_twice() -> FastAPI:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, **POLICY)
    app.mount("", shop())
    return app


def guarded_flask() -> Flask:
    app = flask_shop(origins=[PAGE], supports_credentials=True)

    @app.before_request
    def auth() -> Any:
        return None if "Authorization" in asked.headers else ({"detail": "no"}, 401)

    return app


def starlette(build: Callable[[], ASGIApp]) -> Stack:
    @contextlib.contextmanager
    def run() -> Iterator[str]:
        with serving(build()) as server:
            yield server.url

    return run


def flask(build: Callable[[], Flask]) -> Stack:
    return lambda: flask_serving(build())


def behind(lines: str, app: Callable[[], ASGIApp] = shop) -> Stack:
    """An application behind an nginx; ``lines`` stand where it is passed on."""

    @contextlib.contextmanager
    def run() -> Iterator[str]:
        with (
            serving(app()) as server,
            nginx(f"location / {{ proxy_pass {server.url}; {lines} }}") as url,
        ):
            yield url

    return run


def policy(**changes: Any) -> Callable[[], FastAPI]:
    return lambda: shop({**POLICY, **changes})


OWN = f"add_header Access-Control-Allow-Origin {PAGE}"
# stack, client, the cause (or none), and a word of what is to be done or why
ROWS: dict[str, tuple[Stack, dict[str, Setting], str, str]] = {
    "unhandled-exception": (
        starlette(shop), at("/api/broken"), "cors.error_masks_5xx", "app = CORSMiddleware(app"),
    "exception-handler": (
        starlette(handled), at("/api/broken"), "cors.error_masks_5xx", "app = CORSMiddleware(app"),
    "wrapped-around": (
        starlette(lambda: CORSMiddleware(shop(None), **POLICY)), at("/api/broken"), "", ""),
    "http-exception-404": (starlette(shop), at("/api/fails/404"), "", ""),
    "http-exception-503": (starlette(shop), at("/api/fails/503"), "", ""),
    "no-middleware": (
        starlette(lambda: shop(None)), JSON, "cors.preflight_fails", "Starlette wrote that answer"),
    "auth-outside": (
        starlette(lambda: guarded(outside=True)), JSON, "cors.preflight_blocked_by_auth",
        "added last"),
    "auth-outside-no-preflight": (
        starlette(lambda: guarded(outside=True)), SIMPLE, "cors.auth_outside_cors", "added last"),
    "auth-inside": (starlette(lambda: guarded(outside=False)), JSON, "", ""),
    "auth-dependency-without-cors": (
        starlette(lambda: shop(None, dependencies=[Depends(wants_token)])), JSON,
        "cors.preflight_fails", "Starlette wrote that answer"),
    "auth-dependency-with-options-route": (
        starlette(with_options_route), JSON, "cors.preflight_blocked_by_auth", "added last"),
    "auth-dependency-with-cors": (
        starlette(lambda: shop(dependencies=[Depends(wants_token)])), JSON, "", ""),
    "defaults-and-json": (
        starlette(lambda: shop({"allow_origins": [PAGE]})),
        {**SIMPLE, "methods": ("PUT",), "headers": ("content-type",)},
        "cors.method_not_allowed", 'allow_methods=[..., "PUT"]'),
    "custom-header": (
        starlette(policy(allow_headers=[])), {**SIMPLE, "headers": ("x-tenant",)},
        "cors.header_not_allowed", 'allow_headers=[..., "x-tenant"]'),
    "slash-in-origin": (
        starlette(policy(allow_origins=[f"{PAGE}/"])), SIMPLE, "cors.origin_not_allowed",
        f"it lists {PAGE}/"),
    "http-in-origin": (
        starlette(policy(allow_origins=["http://app.shop.example"])), SIMPLE,
        "cors.origin_not_allowed", "it lists http://app.shop.example"),
    "string-for-list": (
        starlette(policy(allow_origins=PAGE)), COOKIES, "cors.origins_not_a_list",
        f'allow_origins=["{PAGE}"]'),
    "star-and-credentials": (
        starlette(policy(allow_origins=["*"])), COOKIES, "cors.wildcard_with_credentials",
        "allow_origins=[<your exact"),
    "star-for-cookies": (
        starlette(policy(allow_origins=["*"], allow_credentials=False)), COOKIES,
        "cors.wildcard_with_credentials", "allow_credentials=True"),
    "slash-redirect": (starlette(shop), at("/api/slash", JSON), "", ""),
    "twice-mounted": (starlette(mounted_twice), JSON, "", ""),
    "flask-default": (flask(flask_shop), SIMPLE, "", ""),
    "flask-308": (
        flask(lambda: flask_shop(origins=[PAGE])), at("/api/slash", JSON),
        "cors.preflight_redirect", "strict_slashes = False"),
    "flask-500": (flask(lambda: flask_shop(origins=[PAGE])), at("/api/broken"), "", ""),
    "flask-guarded": (
        flask(guarded_flask), JSON, "cors.preflight_blocked_by_auth",
        'request.method == "OPTIONS"'),
    "flask-origin": (
        flask(lambda: flask_shop(origins=["https://shop.example"])), SIMPLE,
        "cors.origin_not_allowed", f'CORS(app, origins=[..., "{PAGE}"])'),
    "flask-pattern-without-end": (
        flask(lambda: flask_shop(origins=[r"https://[a-z]+\.shop\.example"],
                                 supports_credentials=True)),
        COOKIES, "cors.origin_pattern_hole", 'CORS(app, origins=[r"^https'),
    "django": (lambda: django_serving(CORS_ALLOWED_ORIGINS=[PAGE]), JSON, "", ""),
    "django-500": (
        lambda: django_serving(CORS_ALLOWED_ORIGINS=[PAGE]), at("/api/broken"), "", ""),
    "django-behind-common": (
        lambda: django_serving(CORS_LAST, CORS_ALLOWED_ORIGINS=[PAGE]), at("/api/slash"),
        "cors.redirect_without_headers", "corsheaders.middleware"),
    "django-origin": (
        lambda: django_serving(CORS_ALLOWED_ORIGINS=["https://shop.example"]), SIMPLE,
        "cors.origin_not_allowed", f'CORS_ALLOWED_ORIGINS = [..., "{PAGE}"]'),
    "django-any": (
        lambda: django_serving(CORS_ALLOW_ALL_ORIGINS=True, CORS_ALLOW_CREDENTIALS=True), COOKIES,
        "cors.reflects_any_origin", "CORS_ALLOW_ALL_ORIGINS = False"),
    "nginx-redirects-everything": (
        lambda: nginx("return 301 https://$host$request_uri;"), JSON,
        "cors.preflight_redirect", "X-Forwarded-Proto"),
    "nginx-adds-a-second": (
        behind(f"{OWN};"), SIMPLE, "cors.duplicate_header", "proxy_hide_header"),
    "nginx-replaces": (
        behind(f"proxy_hide_header Access-Control-Allow-Origin; {OWN} always;"), SIMPLE, "", ""),
    "nginx-without-always": (
        behind(f"{OWN};", lambda: shop(None)), at("/api/missing"), "cors.error_without_headers",
        "always"),
    "nginx-upstream-down": (
        lambda: nginx(f"location / {{ proxy_pass http://127.0.0.1:{free_port()}; }}"), SIMPLE,
        "cors.proxy_error", "nginx, status 502"),
    "nginx-body-limit": (
        behind("if ($request_method = GET) { return 413; }"), JSON, "cors.proxy_error",
        "client_max_body_size"),
    "nginx-removes-origin": (
        behind('proxy_set_header Origin "";'), JSON, "cors.preflight_fails",
        "proxy_set_header Origin $http_origin"),
    "nginx-denies-options": (
        behind("limit_except GET HEAD { deny all; }"), JSON, "cors.proxy_error",
        "let OPTIONS pass"),
}  # fmt: skip


def told(report: Report) -> str:
    """All that the alarms say is wrong and to be done."""
    return "\n".join(
        text
        for one in alarms(report)
        for cause in [one.finding.cause]
        for text in (cause.because if cause else "", *(r.command for r in one.finding.remedies))
    )


@pytest.mark.parametrize(("stack", "client", "label", "word"), ROWS.values(), ids=ROWS)
def test_each_row_by_name(stack: Stack, client: dict[str, Setting], label: str, word: str) -> None:
    with stack() as url:
        report = examine([examinee("cors", url, **client)], window=0.05)
    assert causes(alarms(report)) == ([label] if label else [])
    assert word in told(report)
    assert report.status is (Status.OK if not label else report.status)


def test_a_proxys_error_lies_beneath_the_error_itself() -> None:
    with nginx(f"location / {{ proxy_pass http://127.0.0.1:{free_port()}; }}") as url:
        web = examinee("http", url, health="/api/orders")
        report = examine([web, examinee("cors", url, **SIMPLE)], window=0.05)
    assert causes(report.roots) == ["http.server_error"]
    assert "cors.proxy_error" in causes(alarms(report))
