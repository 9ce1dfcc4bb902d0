"""--login and --replay against the OAuth 2 server of Authlib, an implementation not of ours."""

import time
from typing import Any

import jwt
import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from flask import Flask, Response
from tests.backends.test_token_online import PASSWORD, token_examinee
from tests.servers.web import alarms, causes, examine
from tests.servers.wsgi import flask_serving

from backend_doctor.model import Report, Status

USER, SECRET = "doctor", "a-key-of-the-issuer-that-nobody-guesses-7Zk2"
LIVES = 900


class _Client(ClientMixin):  # type: ignore[misc]
    """One public client, such as a page."""

    client_id = "web"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("password", "refresh_token")

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def get_allowed_scope(self, scope: str) -> str:
        return ""


class _Grant:
    """A refresh token of the account."""

    def check_client(self, client: _Client) -> bool:
        return client.client_id == "web"

    def get_scope(self) -> str:
        return ""


class _Password(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def authenticate_user(self, username: str, password: str) -> str | None:
        return USER if (username, password) == (USER, PASSWORD) else None


def _issued(client: _Client, grant_type: str, user: str, scope: str) -> str:
    now = int(time.time())
    return jwt.encode({"sub": user, "iat": now, "exp": now + LIVES}, SECRET)


def issuer(*, rotates: bool, readable: bool) -> Flask:
    """The server; ``readable`` access tokens are JWTs, and ``rotates`` gives new refresh tokens."""
    app, valid = Flask("issuer"), dict[str, _Grant]()
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = _issued if readable else True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"password": LIVES, "refresh_token": LIVES}

    class Renewal(grants.RefreshTokenGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
        INCLUDE_NEW_REFRESH_TOKEN = rotates

        def authenticate_refresh_token(self, token: str) -> _Grant | None:
            # taking it is one step, so of two at once one wins
            return valid.pop(token, None) if rotates else valid.get(token)

        def authenticate_user(self, grant: _Grant) -> str:
            return USER

        def revoke_old_credential(self, grant: _Grant) -> None:
            """It was taken when it was authenticated."""

    def keep(token: dict[str, Any], request: object) -> None:
        if "refresh_token" in token:
            valid[token["refresh_token"]] = _Grant()

    server = AuthorizationServer(app, {"web": _Client()}.get, keep)
    server.register_grant(_Password)
    server.register_grant(Renewal)

    @app.post("/token")
    def token() -> Response:
        answer: Response = server.create_token_response()
        return answer

    return app


@pytest.fixture(autouse=True)
def _without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def looked(*tries: str, password: str = PASSWORD, **made: bool) -> Report:
    """The report on a server made so."""
    with flask_serving(issuer(**{"rotates": True, "readable": True, **made})) as url:
        place = f"{url}/token?client_id=web"
        account = {"username": USER, "password": password, "secret": SECRET}
        declared: dict[str, Any] = {"login": place, "refresh": place, "grace": 0, "try": tries}
        return examine([token_examinee(account, (place,), **declared)])


def told(check: str, report: Report) -> tuple[Status, str]:
    (one,) = [result.finding for result in report.results if result.check == check]
    return one.status, " ".join((one.summary, *one.notes))


@pytest.mark.parametrize(("rotates", "readable"), [(True, True), (False, False)])
def test_a_login_is_understood(rotates: bool, readable: bool) -> None:
    report = looked("login", rotates=rotates, readable=readable)
    assert alarms(report) == []
    status, said = told("token.login", report)
    assert status is Status.OK
    assert ("it lives for 15 min" in said) is readable
    assert ("stays the same" in said) is not rotates


def test_a_wrong_password_is_not_taken_for_a_sick_server() -> None:
    report = looked("login", password="wrong-0815")
    assert alarms(report) == []
    status, said = told("token.login", report)
    assert status is Status.UNKNOWN
    assert "status 400" in said


def test_rotation_without_grace_loses_a_race() -> None:
    assert causes(alarms(looked("login", "replay"))) == ["token.refresh_race"]


def test_a_refresh_token_that_stays_has_no_race() -> None:
    report = looked("login", "replay", rotates=False)
    assert alarms(report) == []
    assert told("token.replay", report)[0] is Status.OK
