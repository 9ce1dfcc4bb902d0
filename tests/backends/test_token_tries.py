"""--login, --replay and --forge against a real server that is made well or badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from tests.backends.test_token_online import PASSWORD, status_of, token_examinee
from tests.scenarios.frame.authority import SECRET, USER, Authority, create_app
from tests.servers.web import WebServer, alarms, causes, examine

from backend_doctor.backends.http.connection import Reply
from backend_doctor.backends.token.account import pair_of
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.demo.servers import RedisServer
from backend_doctor.demo.shop.faults import Faults
from backend_doctor.demo.shop.problems import answer_problems
from backend_doctor.demo.shop.routes import public
from backend_doctor.demo.shop.settings import Settings, changed
from backend_doctor.demo.shop.tokens import Tokens
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Setting
from backend_doctor.model import Finding, Report, Status

ALL = ("login", "replay", "forge")


def looked(tries: tuple[str, ...], **task: Any) -> tuple[Report, list[tuple[str, str, int]]]:
    """The report on a server made so, and its access log; grace is none unless the task says."""
    authority = Authority({"password": PASSWORD, **task})
    with WebServer(create_app(authority)) as server:
        urls = {"login": f"{server.url}/token", "refresh": f"{server.url}/refresh"}
        declared: dict[str, Setting] = {
            **urls,
            "protected": f"{server.url}/me",
            "grace": int(task.get("grace", 0)),
            "try": tries,
        }
        secrets = {"username": USER, "password": PASSWORD}
        if authority.task["algorithm"] == "HS256":
            secrets["secret"] = SECRET
        else:
            declared["jwks"] = f"{server.url}/jwks"
        posts = tuple(urls.values()) if tries else ()
        report = examine([token_examinee(secrets, posts, **declared)])
    written = msgspec.json.encode(report).decode()
    for secret in (PASSWORD, *authority.granted):
        assert secret not in written
        assert secret[-20:] not in written
    return report, server.requests


def finding(check: str, report: Report) -> Finding:
    (one,) = [result.finding for result in report.results if result.check == check]
    return one


def posts(requests: list[tuple[str, str, int]]) -> list[str]:
    return [path for method, path, _ in requests if method == "POST"]


def test_nothing_is_posted_by_default() -> None:
    report, requests = looked(())
    assert posts(requests) == []
    for check in ("token.login", "token.replay", "token.forgery"):
        assert status_of(check, report) is Status.SKIPPED


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/other", "http://127.0.0.1:1/token?x"])
def test_the_door_for_posts_is_narrow(url: str) -> None:
    allowed = (("post", "http://127.0.0.1:1/token"),)
    endpoint = Endpoint(kind="token", hosts=(), socket="sample token", options=allowed)
    tokens = TokenConnection(endpoint)
    with pytest.raises(ValueError, match="nothing may be posted"):
        asyncio.run(tokens.post(url, {}, as_json=False))
    assert tokens.statements == 0


def test_a_login_is_one_login_and_one_refresh() -> None:
    report, requests = looked(("login",))
    assert posts(requests) == ["/token", "/refresh"]
    assert alarms(report) == []
    assert any("sliding" in note for note in finding("token.login", report).notes)


@pytest.mark.parametrize(
    ("task", "label"),
    [
        ({"refreshes": False}, "token.no_refresh"),
        ({"expires_in": 3_600}, "token.expires_in_wrong"),
        ({"ttl": 30}, "token.expires_too_soon"),
        ({"refresh_ttl": 300}, "token.refresh_too_short"),
    ],
)
def test_what_is_wrong_with_a_login_is_named(task: dict[str, Any], label: str) -> None:
    report, _ = looked(("login",), **task)
    assert causes(alarms(report)) == [label]


def test_a_window_that_does_not_slide_and_a_token_that_stays_are_noted() -> None:
    report, _ = looked(("login",), slides=False, rotates=False)
    notes = " ".join(finding("token.login", report).notes)
    assert "stays the same" in notes
    assert "do not move" in notes


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ({}, ["token.refresh_race"]),
        ({"reuse": "refused"}, ["token.refresh_race"]),
        ({"grace": 1}, []),
        ({"rotates": False}, []),
        ({"reuse": "accepted"}, ["token.reuse_undetected"]),
    ],
)
def test_a_replay_tells_grace_race_and_theft(task: dict[str, Any], labels: list[str]) -> None:
    report, requests = looked(("login", "replay"), **task)
    assert causes(alarms(report)) == labels
    assert set(posts(requests)) == {"/token", "/refresh"}
    assert posts(requests).count("/token") == 3
    race = finding("token.replay", report)
    if task == {}:
        seen = {evidence.key: evidence.value for evidence in race.evidence}
        assert sorted(seen["race_statuses"]) == [200, 401]  # type: ignore[arg-type]
        assert seen["after_race_status"] == 401, "the family was ended"


@pytest.mark.parametrize(
    ("verifier", "label"),
    [
        ("right", ""),
        ("none", "token.alg_confusion"),
        ("confused", "token.alg_confusion"),
        ("unverified", "token.not_verified"),
    ],
)
def test_a_forgery_that_is_accepted_is_critical(verifier: str, label: str) -> None:
    report, requests = looked(("login", "forge"), verifier=verifier)
    assert causes(alarms(report)) == ([label] if label else [])
    path = [path for _, path, _ in requests]
    assert path[-1] == "/me", "forging comes last"
    assert {method for method, path, _ in requests if path == "/me"} == {"GET"}


def test_a_genuine_token_that_is_refused_leaves_forging_unjudged() -> None:
    report, _ = looked(("login", "forge"), verifier="stale")
    assert status_of("token.forgery", report) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "no JSON"),
        ("<html>", "no JSON"),
        ("[" * 5_000, "no JSON"),
        ("[1]", "no access_token"),
        ('{"access_token": 5}', "no access_token"),
        ('{"data": {"access_token": ""}}', "no access_token"),
        ('{"data": {"access_token": "a.b.c", "expires_in": NaN}}', ""),
        ('{"access_token": "a.b.c", "expires_in": true}', ""),
    ],
)
def test_any_login_answer_is_told(body: str, problem: str) -> None:
    found = pair_of(Reply(200, 0.1, {"content-type": "text/html; x"}, body=body))
    assert problem in found.problem
    assert found.granted is (problem == "")
    assert found.expires_in is None


def test_a_refresh_cookie_is_kept_apart() -> None:
    cookies = "sid=1; Path=/; Expires=Mon, 1 Jan 2029 00:00:00 GMT, refreshToken=abc; HttpOnly"
    found = pair_of(Reply(200, 0.1, {"set-cookie": cookies}, body='{"access_token": "a.b.c"}'))
    assert found.cookie
    assert found.refresh is not None
    assert found.refresh.reveal() == "refreshToken=abc"
    assert "abc" not in repr(found)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.text(max_size=40))
def test_no_answer_raises(body: str, cookie: str) -> None:
    pair_of(Reply(200, 0.1, {"set-cookie": cookie}, body=body))


def test_the_demo_shop_ends_a_session_whose_token_comes_twice() -> None:
    """The shop's own routes and tokens over a real Redis; who may log in is not its matter here."""

    class Accounts:
        async def authenticated(self, name: str, password: str) -> bool:
            return (name, password) == (USER, PASSWORD)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Redis.from_url(redis.url()) as cache:
            tokens = Tokens(shop, cache, Faults())
            app.state.services = SimpleNamespace(tokens=tokens, accounts=Accounts())
            yield

    text = files("backend_doctor.demo.shop").joinpath("settings.yaml").read_text()
    shop = Settings.from_tree(changed(yaml.safe_load(text), {"security": {"secret_key": SECRET}}))
    app = FastAPI(lifespan=lifespan)
    app.state.faults = Faults()
    answer_problems(app, app.state.faults)
    app.include_router(public)
    with RedisServer() as redis, WebServer(app) as server:
        urls = {"login": f"{server.url}/auth/login", "refresh": f"{server.url}/auth/refresh"}
        how: dict[str, Setting] = {"user_field": "name", "body": "json", "try": ALL[:2]}
        account = {"username": USER, "password": PASSWORD}
        report = examine([token_examinee(account, tuple(urls.values()), **urls, **how)])
    assert causes(alarms(report)) == ["token.refresh_race"]
    assert status_of("token.login", report) is Status.OK
