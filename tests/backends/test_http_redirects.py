"""Where redirects of real servers lead, and how far they are followed."""

import asyncio
import time
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from msgspec.structs import replace
from tests.servers.certificates import Issued
from tests.servers.web import WebServer, alarms, causes, examine, examinee, serving

from backend_doctor.backends.http.answers import HealthAnswers
from backend_doctor.backends.http.connection import connect
from backend_doctor.backends.http.redirects import MOST_STEPS, End, Redirects
from backend_doctor.endpoint import Tls
from backend_doctor.engine import Examinee
from backend_doctor.model import Status
from backend_doctor.triage import load_messages, read

HOSTILE = (
    "",
    "http://",
    "http://[::1",
    "http://127.0.0.1:99999/",
    "http://a:b@127.0.0.1/",
    "javascript:alert(1)",
    "\x01\x02",
    "/\udcff" + "x" * 4000,
    "//[",
)


def to(target: str, **headers: str) -> Response:
    """A redirect whose Location is exactly this."""
    response = Response(status_code=307, headers=headers)
    response.raw_headers.append((b"location", target.encode("latin-1", "replace")))
    return response


def moving_app() -> FastAPI:
    app = FastAPI(redirect_slashes=False)

    @app.get("/healthz")
    async def healthy() -> str:
        return "ok"

    @app.get("/once")
    async def once() -> Response:
        return to("/healthz?token=secret#there")

    @app.get("/self")
    async def itself() -> Response:
        return to("/self")

    @app.get("/slash")
    async def slash() -> Response:
        return to("/slash/")

    @app.get("/slash/")
    async def no_slash() -> Response:
        return to("/slash")

    @app.get("/cookie")
    async def wall(request: Request) -> Response:
        known = "seen" in request.cookies
        return PlainTextResponse("ok") if known else to("/cookie", **{"set-cookie": "seen=1"})

    @app.get("/deeper/{count}")
    async def deeper(count: int) -> Response:
        return to(f"/deeper/{count + 1}")

    @app.get("/away")
    async def away() -> Response:
        return to("http://backend-doctor.invalid/login?next=secret")

    @app.get("/broken")
    async def broken() -> Response:
        return to("/down")

    @app.get("/down")
    async def down() -> Response:
        return Response(status_code=503)

    @app.get("/out")
    async def out(request: Request) -> Response:
        return to(str(request.url).replace("https:", "http:").replace("/out", "/healthz"))

    @app.get("/hostile/{number}")
    async def hostile(number: int) -> Response:
        return to(HOSTILE[number])

    return app


def walked(server: WebServer, path: str) -> Redirects:
    at = examinee("http", server.url, health=path)

    async def once() -> Redirects:
        login, http = await connect(at.endpoint, limit=3.0)
        assert http is not None, login
        try:
            answers = await HealthAnswers.collect(http, at.instance)
            return await Redirects.collect(http, answers)
        finally:
            await http.close()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("path", "end", "steps", "status"),
    [
        ("/healthz", End.ANSWER, 0, 200),
        ("/once", End.ANSWER, 1, 200),
        ("/cookie", End.ANSWER, 0, 200),
        ("/self", End.LOOP, 2, 307),
        ("/slash", End.LOOP, 3, 307),
        ("/deeper/0", End.ENDLESS, MOST_STEPS, 307),
        ("/away", End.ELSEWHERE, 1, 307),
        ("/broken", End.ANSWER, 1, 503),
    ],
)
def test_the_way(path: str, end: End, steps: int, status: int) -> None:
    with serving(moving_app()) as server:
        found = walked(server, path)
    assert (found.end, len(found.steps), found.status) == (end, steps, status)
    assert "secret" not in str(found)
    asked = [one for _, one, _ in server.requests if one == path]
    assert len(asked) <= 6


def test_what_a_client_says_of_a_circle_leads_to_its_runbook() -> None:
    with serving(moving_app()) as server, pytest.raises(httpx.TooManyRedirects) as raised:
        httpx.get(f"{server.url}/self", follow_redirects=True, trust_env=False)
    (sighting,) = read([str(raised.value)], load_messages()).sightings
    assert sighting.message.runbook == "http.redirects"


def test_what_is_no_url_is_not_asked() -> None:
    with serving(moving_app()) as server:
        for number, location in enumerate(HOSTILE):
            found = walked(server, f"/hostile/{number}")
            # control characters are escaped, as a browser does it, and name an absent page
            end = End.ANSWER if location == "\x01\x02" else End.NOWHERE
            assert found.end is end, location


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/once", Status.OK, []),
        ("/self", Status.CRITICAL, ["http.redirect_loop"]),
        ("/away", Status.WARNING, ["http.redirect_elsewhere"]),
        ("/broken", Status.CRITICAL, ["http.redirect_broken"]),
    ],
)
def test_reports(path: str, status: Status, expected: list[str]) -> None:
    with serving(moving_app()) as server:
        report = examine([examinee("http", server.url, health=path)], window=0.1)
        # at most twelve for a path, in both looks and on the way
        assert sum(one == path for _, one, _ in server.requests) <= 12
    assert (report.status, causes(alarms(report))) == (status, expected)


def test_a_way_out_of_https_is_not_taken(tmp_path: Path) -> None:
    certificate, key = Issued("shop", hosts=("127.0.0.1",)).written(tmp_path)
    with serving(moving_app(), ssl_certfile=certificate, ssl_keyfile=key) as server:
        at = examinee("http", server.url, health="/out")
        endpoint = replace(at.endpoint, tls=Tls(ca_file=certificate))
        report = examine([Examinee(at.instance, endpoint)], window=0.1)
        assert {path for _, path, _ in server.requests} == {"/", "/out"}
    assert causes(alarms(report)) == ["http.redirect_insecure"]


def clocked_app(ahead: float, **headers: str) -> FastAPI:
    app = FastAPI()

    @app.get("/healthz")
    async def healthy() -> Response:
        date = formatdate(time.time() + ahead, usegmt=True)
        return Response(headers={"date": date, **headers})

    return app


@pytest.mark.parametrize(
    ("ahead", "headers", "expected"),
    [
        (0, {}, []),
        (2.5, {}, []),
        (20, {}, ["http.clock_skew"]),
        (-90, {}, ["http.clock_skew"]),
        (-90, {"age": "90"}, []),
    ],
)
def test_the_servers_clock(ahead: float, headers: dict[str, str], expected: list[str]) -> None:
    with serving(clocked_app(ahead, **headers), date_header=False) as server:
        report = examine([examinee("http", server.url, health="/healthz")], window=0.1)
    assert causes(alarms(report)) == expected
    if expected:
        side = "ahead of" if ahead > 0 else "behind"
        assert side in alarms(report)[0].finding.summary
