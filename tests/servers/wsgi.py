"""Real Flask and Django applications, each with its own CORS library, on its own small server."""

import contextlib
from collections.abc import Iterator
from threading import Thread
from typing import Any

import django
from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path
from flask import Flask
from flask_cors import CORS
from werkzeug.serving import make_server

CORS_FIRST = (
    f"{CorsMiddleware.__module__}.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
)
CORS_LAST = (*CORS_FIRST[1:], CORS_FIRST[0])


def _orders(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"orders": []})


def _broken(request: HttpRequest) -> JsonResponse:
    raise KeyError("nobody handles it")


urlpatterns = [
    path("api/orders", _orders),
    path("api/slash/", _orders),
    path("api/broken", _broken),
]


def flask_shop(**policy: Any) -> Flask:
    """Orders, a path with a slash at its end, and one that raises."""
    app = Flask("shop")
    CORS(app, **policy)

    @app.get("/api/orders")
    @app.get("/api/slash/")
    def orders() -> dict[str, list[int]]:
        return {"orders": []}

    @app.get("/api/broken")
    def broken() -> dict[str, str]:
        raise KeyError("nobody handles it")

    return app


@contextlib.contextmanager
def flask_serving(app: Flask) -> Iterator[str]:
    """The base URL of Flask's own server."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    with _running(server):
        yield f"http://127.0.0.1:{server.server_port}"


@contextlib.contextmanager
def django_serving(middleware: tuple[str, ...] = CORS_FIRST, **policy: Any) -> Iterator[str]:
    """The base URL of Django's own server; ``policy`` are settings of django-cors-headers."""
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, LOGGING_CONFIG=None)
        django.setup()
    with override_settings(MIDDLEWARE=list(middleware), **policy):
        server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
        server.set_app(WSGIHandler())
        with _running(server):
            yield f"http://127.0.0.1:{server.server_address[1]}"


@contextlib.contextmanager
def _running(server: Any) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
