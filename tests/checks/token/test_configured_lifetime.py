"""token.configured_lifetime: facts in, findings out, and a real login against real settings."""

from pathlib import Path
from typing import Any

import pytest
from tests.backends.test_token_online import PASSWORD, token_examinee
from tests.checks.token.builders import place, token
from tests.scenarios.frame.authority import USER, Authority, create_app
from tests.servers.web import WebServer, alarms, causes, examine

from backend_doctor import Absent, Each, Finding, Status
from backend_doctor.backends.settings.application import ApplicationSettings, Stated
from backend_doctor.backends.token.grants import Grants
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.config.appinstance import settings_instance
from backend_doctor.config.facts import instance_fact
from backend_doctor.engine import Examinee
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "configured_lifetime.py")
OTHERWISE, SESSION = "token.lifetime_not_as_configured", "token.session_store_expiry"
TRIES: dict[str, Any] = {"try": ("login",)}


def stated(**seconds: float) -> Each[ApplicationSettings]:
    values = {
        name: Stated(key=f"security.{name}_ttl", value=value, place="settings.yaml:7")
        for name, value in seconds.items()
    }
    return Each({"settings": ApplicationSettings(source="settings.yaml", values=values)})


def login(**facts: Any) -> Grants:
    return Grants(**{"status": 200, "refresh": "body", **facts})


def judged(
    grants: Grants | None, sample: SampleToken | None, settings: Each[ApplicationSettings]
) -> list[Finding]:
    return list(CHECK.function(grants, sample, settings, place()))


def labels(findings: list[Finding]) -> list[str]:
    return [finding.cause.label for finding in findings if finding.cause]


@pytest.mark.parametrize(
    ("grants", "sample", "said"),
    [
        (None, token(exp=900), {"access_token": 1800}),
        (None, token(exp=1819), {"access_token": 1800}),
        (None, token(exp=84_000, refresh=True), {"access_token": 900, "refresh_token": 86_400}),
        (login(granted_for=30.0), None, {"access_token": 1800}),
        (login(granted_for=900.0), token(exp=1800), {"access_token": 1800}),
        (login(lives=900.0), None, {"access_token": 1800}),
        (login(expires_in=1800.0), None, {"access_token": 108_000}),
        (login(refresh_granted_for=604_800.0), None, {"refresh_token": 86_400}),
    ],
)
def test_both_numbers_are_told(
    grants: Grants | None, sample: SampleToken | None, said: dict[str, float]
) -> None:
    (finding,) = judged(grants, sample, stated(**said))
    assert (finding.status, labels([finding])) == (Status.WARNING, [OTHERWISE])
    assert "settings.yaml:7" in finding.evidence[1].text
    assert finding.evidence[0].value != finding.evidence[1].value


@pytest.mark.parametrize(
    ("grants", "sample", "said"),
    [
        (None, token(exp=1800), {"access_token": 1800}),
        (None, token(exp=1818), {"access_token": 1800}),
        (None, token(exp=65), {"access_token": 60}),
        (login(granted_for=1800.0), token(exp=900), {"access_token": 1800}),
        # by our clock, which the host's may differ from
        (login(lives=1745.0), None, {"access_token": 1800}),
        (login(granted_for=1800.0), None, {"access_token": 1800, "session": 1800}),
        (login(problem="status 401"), token(exp=1800), {"access_token": 1800}),
    ],
)
def test_healthy_twins(
    grants: Grants | None, sample: SampleToken | None, said: dict[str, float]
) -> None:
    assert [(one.status, one.cause) for one in judged(grants, sample, stated(**said))] == [
        (Status.OK, None)
    ]


def test_a_session_that_ends_before_its_token() -> None:
    found = judged(login(granted_for=3600.0), None, stated(session=600))
    assert labels(found) == [SESSION]


@pytest.mark.parametrize(
    ("grants", "sample", "settings"),
    [
        (None, token(exp=900), Each[ApplicationSettings]({})),
        (None, token(exp=900), stated(workers=4)),
        (None, token(exp=None), stated(access_token=900)),
        (None, token(exp=900, iat=None), stated(access_token=900)),
        (None, token(exp=900, encrypted=True), stated(access_token=900)),
        (None, None, stated(access_token=900)),
        (login(problem="status 401"), None, stated(access_token=900)),
    ],
)
def test_what_cannot_be_compared_is_skipped(
    grants: Grants | None, sample: SampleToken | None, settings: Each[ApplicationSettings]
) -> None:
    with pytest.raises(Absent):
        judged(grants, sample, settings)


@pytest.mark.parametrize(("minutes", "expected"), [(30, [OTHERWISE]), (15, [])])
def test_a_real_login_against_a_settings_file(
    tmp_path: Path, minutes: int, expected: list[str]
) -> None:
    """The authority's tokens live for 15 minutes and its refresh tokens for a day."""
    path = tmp_path / "settings.yaml"
    path.write_text(
        f"security: {{access_token_expire_minutes: {minutes}, refresh_token_expire_days: 1}}\n"
    )
    own = settings_instance("shop", "settings", path, {}, tmp_path)
    with WebServer(create_app(Authority({"password": PASSWORD}))) as server:
        posts = (f"{server.url}/token", f"{server.url}/refresh")
        secrets = {"username": USER, "password": PASSWORD}
        logged_in = token_examinee(secrets, posts, login=posts[0], refresh=posts[1], **TRIES)
        report = examine([logged_in, Examinee(instance_fact(own), own.endpoint)])
    assert causes(alarms(report)) == expected
