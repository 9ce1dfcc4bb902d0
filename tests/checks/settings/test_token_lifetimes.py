"""settings.token_lifetimes: facts in, findings out."""

import pytest
from tests.checks.settings.examining import REFERENCE, Examining, causes, healthy

from backend_doctor import Status

LONG, OUTLIVES = "token.access_too_long", "token.access_outlives_refresh"


@pytest.mark.parametrize(
    ("security", "labels"),
    [
        ("access_token_expire_minutes: 1440, refresh_token_expire_days: 7", {LONG}),
        ("access_token_expire_minutes: 30, refresh_token_expire_minutes: 30", {OUTLIVES}),
        ("access_token_expire_days: 30, refresh_token_expire_days: 7", {LONG, OUTLIVES}),
        ("access_token_expire_minutes: 30, session_ttl: 600", {"token.session_store_expiry"}),
        ("access_token_expire_minutes: 0", {"token.expires_at_once"}),
        ("access_token_ttl: 7200", {LONG}),
        ("jwt: {access_token_expires_in_hours: '2'}", {LONG}),
    ],
)
def test_causes(judged: Examining, security: str, labels: set[str]) -> None:
    findings = judged(f"security: {{{security}}}\n")
    assert causes(findings) == dict.fromkeys(labels, Status.WARNING)
    assert "settings.yaml:1" in findings[0].evidence[0].text


@pytest.mark.parametrize(
    "security",
    [
        "access_token_expire_minutes: 15, refresh_token_expire_days: 7, session_ttl: 604800",
        "access_token_ttl: 3600",
        "access_token_expire_minutes: 30, session_ttl: 1800",
    ],
)
def test_healthy_twins(judged: Examining, security: str) -> None:
    assert healthy(judged(f"security: {{{security}}}\n"))


def test_long_tokens_are_fine_in_development(judged: Examining) -> None:
    text = "security: {access_token_expire_minutes: 1440}\n"
    assert causes(judged(text, environ={"APP_ENV": "production"})) == {LONG: Status.WARNING}
    assert healthy(judged(text, environ={"APP_ENV": "development"}))
    assert healthy(judged(text, limits={"longest_access": 86400.0}))


def test_the_reference(judged: Examining) -> None:
    assert healthy(judged(REFERENCE.read_text(), environ={"APP_ENV": "production"}))


def test_nothing_stated(judged: Examining) -> None:
    (finding,) = judged("security: {access_token_expire_minutes: soon}\n")
    assert finding.status is Status.SKIPPED
