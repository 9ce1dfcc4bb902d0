"""Origins made up to get in: real servers with one hole each, by their own logs."""

from collections import Counter
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from tests.servers.web import alarms, causes, examine, examinee, serving

from backend_doctor import Status
from backend_doctor.facts import Setting

PAGE = "https://app.shop.example"
CLIENT: dict[str, Setting] = {"origins": (PAGE,), "paths": ("/api/orders",)}
MOST = 12


def shop(path: str = "/api/orders", **policy: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, **policy)

    @app.get(path)
    async def orders() -> list[int]:
        return []

    return app


def pattern(text: str) -> dict[str, Any]:
    return {"allow_origin_regex": text}


WARNING, CRITICAL, OK = Status.WARNING, Status.CRITICAL, Status.OK
# policy, the cause, how bad with credentials, and without
HOLES: dict[str, tuple[dict[str, Any], str, Status, Status]] = {
    "any": (pattern(".*"), "cors.reflects_any_origin", CRITICAL, OK),
    "null": ({"allow_origins": [PAGE, "null"]}, "cors.null_origin_allowed", CRITICAL, OK),
    "prefix": (pattern(r"https://app\.shop\.example.*"), "cors.origin_pattern_hole",
               CRITICAL, WARNING),
    "suffix": (pattern(r"https://[a-z.]*shop\.example"), "cors.origin_pattern_hole",
               CRITICAL, WARNING),
    "dot": (pattern(r"https://app.shop\.example"), "cors.origin_pattern_hole", CRITICAL, OK),
    "string": ({"allow_origins": PAGE}, "cors.origins_not_a_list", CRITICAL, WARNING),
    "plain": ({"allow_origins": [PAGE, "http://app.shop.example"]},
              "cors.plain_http_origin_allowed", WARNING, OK),
    "subdomain": (pattern(r"https://[a-z]+\.shop\.example"), "", OK, OK),
    "none": ({"allow_origins": [PAGE, "https://www.shop.example"]}, "", OK, OK),
}  # fmt: skip


@pytest.mark.parametrize("credentials", [True, False], ids=["credentials", "public"])
@pytest.mark.parametrize(("policy", "label", "worst", "public"), HOLES.values(), ids=HOLES)
def test_each_hole_by_name_and_by_what_it_costs(
    policy: dict[str, Any], label: str, worst: Status, public: Status, credentials: bool
) -> None:
    with serving(shop(allow_credentials=credentials, **policy)) as server:
        report = examine([examinee("cors", server.url, **CLIENT)], window=0.05)
    status = worst if credentials else public
    assert report.status is status
    assert causes(alarms(report)) == ([label] if status is not OK else [])
    asked = Counter(path for _, path, _ in server.requests)
    assert 0 < asked["/api/orders"] <= MOST


def test_the_root_bears_no_more_than_any_path() -> None:
    with serving(shop("/", allow_origins=[PAGE])) as server:
        examine([examinee("cors", server.url, **{**CLIENT, "paths": ("/",)})], window=0.05)
    assert Counter(path for _, path, _ in server.requests) == {"/": MOST}


def _echo(needs_cookie: bool, most: int) -> FastAPI:
    app, names = FastAPI(), set[str]()

    @app.api_route("/api/orders", methods=["GET", "OPTIONS"])
    async def orders(request: Request, response: Response) -> None:
        origin = request.headers.get("origin", "")
        names.add(origin) if origin.endswith(".example") and len(names) < most else None
        if origin in names and ("cookie" in request.headers or not needs_cookie):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Credentials"] = "true"

    return app


def test_an_echo_for_cookies_alone_is_found() -> None:
    with serving(_echo(needs_cookie=True, most=99)) as server:
        report = examine([examinee("cors", server.url, **CLIENT)], window=0.05)
    assert "cors.reflects_any_origin" in causes(alarms(report))


def test_one_name_alone_is_no_finding() -> None:
    # the page's own and the first strange one
    with serving(_echo(needs_cookie=False, most=2)) as server:
        report = examine([examinee("cors", server.url, **CLIENT)], window=0.05)
    assert not alarms(report)
