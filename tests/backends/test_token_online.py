"""Protected endpoint, key set and discovery document of a real server, by reads alone."""

import re
from typing import Any

import msgspec
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.backends.hostile_issuer import BODIES, HEADERS
from tests.scenarios.frame.authority import SECRET, Authority, create_app
from tests.servers.web import alarms, causes, examine, examinee, serving

from backend_doctor.endpoint import Endpoint
from backend_doctor.engine import Examinee
from backend_doctor.facts import Instance, Setting
from backend_doctor.model import Confidence, Report, Status
from backend_doctor.secret import Secret

PAGE = "https://shop.example.com"
CORS = {"allow_origins": [PAGE], "allow_headers": ["authorization"]}
PASSWORD = "canaryPassw0rd7Zk2"


def token_examinee(
    secrets: dict[str, str], posts: tuple[str, ...] = (), **declared: Setting
) -> Examinee:
    """A token backend of the service ``shop``; ``posts`` are URLs that --login opens."""
    endpoint = Endpoint(
        kind="token",
        hosts=(),
        socket="sample token",
        secrets=tuple((name, Secret(text)) for name, text in secrets.items()),
        options=tuple(("post", url) for url in posts),
        scope=repr(sorted(declared.items())),
    )
    instance = Instance(
        service="shop",
        backend="token",
        name="token",
        address="sample token",
        host="sample token",
        port=0,
        settings=declared,
    )
    return Examinee(instance, endpoint)


def looked(
    declared: dict[str, str], sample: dict[str, Any] | None = None, **task: Any
) -> tuple[Report, list[tuple[str, str, int]]]:
    """The report on a server made so, and its access log. ``declared`` are settings, with paths
    for URLs; ``sample`` the claims of the sample beside the usual ones."""
    authority = Authority({"password": PASSWORD, **task})
    with serving(create_app(authority)) as server:
        settings: dict[str, Setting] = {
            key: server.url + value if value.startswith("/") else value
            for key, value in declared.items()
        }
        if "issuer" in declared:
            settings["issuer"] = (declared["issuer"],)
        secrets = {} if sample is None else {"sample": authority.signed(**sample)}
        if sample is not None and authority.task["algorithm"] == "HS256":
            secrets["secret"] = SECRET
        report = examine([token_examinee(secrets, (), **settings)])
    for secret in (*secrets.values(), PASSWORD):
        assert secret.split(".")[-1] not in msgspec.json.encode(report).decode()
    return report, server.requests


def found(
    declared: dict[str, str], sample: dict[str, Any] | None = None, **task: Any
) -> dict[str, Status]:
    report, _ = looked(declared, sample, **task)
    return {
        result.finding.cause.label: result.finding.status
        for result in alarms(report)
        if result.finding.cause
    }


def status_of(check: str, report: Report) -> Status:
    (one,) = [result for result in report.results if result.check == check]
    return one.finding.status


def test_a_healthy_service_is_asked_a_few_times_and_is_fine() -> None:
    everything = {"protected": "/me", "discovery": "/", "origin": PAGE}
    report, requests = looked(everything, {}, cors=CORS)
    assert alarms(report) == []
    for check in ("token.protected", "token.acceptance", "token.key_set", "token.discovery"):
        assert status_of(check, report) is Status.OK
    assert [path for _, path, _ in requests].count("/me") == 4
    assert sorted({path for _, path, _ in requests}) == [
        "/.well-known/openid-configuration",
        "/jwks",
        "/me",
    ]
    assert {method for method, _, _ in requests} == {"GET"}


@pytest.mark.parametrize(
    ("task", "label", "status"),
    [
        ({"missing": 403}, "token.forbidden_not_unauthorized", Status.WARNING),
        ({"garbage": 403}, "token.forbidden_not_unauthorized", Status.CRITICAL),
        ({"missing": 307}, "token.redirect_not_unauthorized", Status.WARNING),
        ({"garbage": 500}, "token.verifier_error", Status.WARNING),
        ({"garbage": 200}, "token.not_verified", Status.CRITICAL),
        ({"missing": 200}, "token.not_verified", Status.CRITICAL),
    ],
)
def test_a_wrong_refusal_is_named(task: dict[str, Any], label: str, status: Status) -> None:
    assert found({"protected": "/me"}, **task) == {label: status}


def test_pages_that_cannot_read_the_401_are_told() -> None:
    here = {"protected": "/me", "origin": PAGE}
    hidden = {"token.unauthorized_unreadable": Status.CRITICAL}
    assert found(here) == hidden
    assert found(here, cors=CORS, guard="outside") == hidden
    assert found(here, cors=CORS) == {}
    assert found({**here, "origin": "https://other.example"}, cors=CORS) == hidden
    assert found({"protected": "/me"}) == {}


@pytest.mark.parametrize(
    ("task", "label"),
    [
        ({"drops": True, "algorithm": "HS256"}, "token.header_dropped"),
        ({"verifier": "stale"}, "token.jwks_stale"),
        ({"published": ["old"]}, "token.jwks_stale"),
        ({}, ""),
        ({"algorithm": "HS256"}, ""),
    ],
)
def test_why_a_valid_sample_is_refused(task: dict[str, Any], label: str) -> None:
    where = (
        {"protected": "/me"}
        if task.get("algorithm") == "HS256"
        else {
            "protected": "/me",
            "jwks": "/jwks",
        }
    )
    report, _ = looked(where, {}, **task)
    assert causes(alarms(report)) == ([label] if label else [])


def test_a_refusal_that_can_mean_two_things_is_called_possible() -> None:
    report, _ = looked({"protected": "/me", "jwks": "/jwks"}, {}, verifier="stale", wording="same")
    (one,) = alarms(report)
    assert one.finding.cause
    assert (one.finding.cause.label, one.finding.cause.confidence) == (
        "token.header_dropped",
        Confidence.POSSIBLE,
    )


@pytest.mark.parametrize(
    "claims", [{"exp": 1_000_000_000}, {"nbf": 9_999_999_999}, {"typ": "refresh"}]
)
def test_a_sample_that_is_refused_rightly_is_no_fault_of_the_endpoint(
    claims: dict[str, Any],
) -> None:
    report, requests = looked({"protected": "/me", "jwks": "/jwks"}, claims, verifier="stale")
    assert status_of("token.acceptance", report) is Status.SKIPPED
    assert [path for _, path, _ in requests].count("/me") == 3 + ("typ" not in claims)


def test_an_audience_that_is_not_declared_may_be_why_it_is_refused() -> None:
    report, _ = looked({"protected": "/me", "jwks": "/jwks"}, {"aud": "somebody-else"})
    assert causes(alarms(report)) == ["token.valid_refused"]


@pytest.mark.parametrize(
    ("declared", "sample", "task", "label"),
    [
        ({"discovery": "/"}, None, {"issuer": "https://other.example"}, "token.issuer"),
        ({"discovery": "/", "issuer": "https://a.example/"}, None, {}, "token.issuer"),
        ({"discovery": "/"}, {"iss": "https://a.example"}, {}, "token.issuer"),
        ({"discovery": "/gone"}, None, {}, "token.discovery_unusable"),
        ({"discovery": "/jwks/.well-known/x"}, None, {}, "token.discovery_unusable"),
        ({"jwks": "/gone"}, None, {}, "token.jwks_unreachable"),
        ({"jwks": "/healthz"}, None, {}, "token.jwks_malformed"),
        ({"jwks": "/jwks"}, None, {"published": ["old", "old"]}, "token.jwks_ambiguous"),
    ],
)
def test_what_the_issuer_publishes_is_judged(
    declared: dict[str, str], sample: dict[str, Any] | None, task: dict[str, Any], label: str
) -> None:
    report, _ = looked(declared, sample, **task)
    assert causes(alarms(report)) == [label]


@pytest.mark.parametrize("key", ["jwks", "discovery"])
def test_the_address_of_what_is_missing_is_told_without_its_query(key: str) -> None:
    report, _ = looked({key: f"/gone/.well-known/x?code={PASSWORD}"})
    (one,) = alarms(report)
    commands = [remedy.command for remedy in one.finding.remedies]
    assert re.search(r"^curl -si http://127\.0\.0\.1:\d+/gone/\.well-known/x \|", commands[0])


def test_what_cors_denies_to_all_explains_a_401_that_cannot_be_read() -> None:
    with serving(create_app(Authority({"password": PASSWORD, "cors": CORS}))) as server:
        other = "https://other.example.com"
        cors = examinee("cors", server.url, origins=(other,), paths=("/me",), methods=("GET",))
        tokens = token_examinee({}, protected=f"{server.url}/me", origin=other)
        report = examine([cors, tokens])
    (root, beneath) = alarms(report)
    assert causes([root, beneath]) == ["cors.origin_not_allowed", "token.unauthorized_unreadable"]
    assert beneath.explained_by is not None
    assert beneath.explained_by.under == root.id


def test_only_declared_hosts_are_asked() -> None:
    """An issuer that the token alone names, or that is on a host not declared, gets nothing."""
    authority = Authority({"password": PASSWORD})
    with serving(create_app(authority)) as server:
        issuer = server.url.replace("127.0.0.1", "localhost")
        sample = {"sample": authority.signed(iss=issuer)}
        examine([token_examinee(sample, protected=f"{server.url}/me")])
        examine([token_examinee(sample, protected=f"{server.url}/me", issuer=(issuer,))])
        assert {path for _, path, _ in server.requests} == {"/me"}
        examine([token_examinee(sample, protected=f"{issuer}/me", issuer=(issuer,))])
        assert ("GET", "/.well-known/openid-configuration", 200) in server.requests


def test_an_unreachable_host_is_said() -> None:
    report = examine([token_examinee({}, protected="http://127.0.0.1:1/me")])
    assert status_of("token.protected", report) is Status.UNKNOWN
    assert alarms(report) == []


@pytest.mark.parametrize("status", [200, 401, 302])
def test_hostile_answers_are_judged_or_said(status: int) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        number = len(asked)
        asked.append(scope["path"])
        body = BODIES[number % len(BODIES)]
        name, value = HEADERS[number % len(HEADERS)]
        response = Response(body, status, {name: value})
        await response(scope, receive, send)

    asked: list[str] = []
    with serving(answer) as server:
        everything: dict[str, Setting] = {
            key: f"{server.url}/{key}" for key in ("protected", "discovery", "jwks")
        }
        sample = {"sample": Authority({"password": PASSWORD}).signed()}
        for _ in BODIES:
            report = examine([token_examinee(sample, (), **everything, origin=PAGE)])
            said = " ".join(result.finding.summary for result in report.results)
            assert "reading failed" not in said
            assert "The check" not in said
    assert len(set(asked)) == 3
