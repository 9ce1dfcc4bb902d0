"""settings.stale_connections: facts in, findings out."""

import pytest
from tests.checks.settings.examining import REFERENCE, Examining, causes, healthy

from backend_doctor import Status

NO_PING, BEYOND = "pool.no_pre_ping", "pool.recycle_beyond_timeout"


def postgres(settings: str) -> str:
    return f"database: {{postgresql: {{url: '${{DATABASE_URL}}', {settings}}}}}\n"


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ("pool_pre_ping: false", {NO_PING}),
        ("pool_pre_ping: 'off', pool_recycle: 1800", {NO_PING}),
        ("pool_pre_ping: false, pool_recycle: -1", {NO_PING, BEYOND}),
        ("pool_recycle: 7200", {BEYOND}),
        ("pool_recycle: 300, connect_args: {server_settings: {idle_session_timeout: 60000}}",
         {BEYOND}),
    ],
)  # fmt: skip
def test_causes(judged: Examining, settings: str, labels: set[str]) -> None:
    findings = judged(postgres(settings), environ={"APP_ENV": "production"})
    assert causes(findings) == dict.fromkeys(labels, Status.WARNING)
    assert "settings.yaml:1" in findings[0].evidence[0].text


@pytest.mark.parametrize(
    "settings",
    [
        "pool_pre_ping: true",
        "pool_pre_ping: true, pool_recycle: -1",
        "pool_recycle: 3600",
        "pool_recycle: 30, connect_args: {server_settings: {idle_session_timeout: 60000}}",
        "pool_recycle: 1800, connect_args: {server_settings: {idle_session_timeout: 0}}",
    ],
)
def test_healthy_twins(judged: Examining, settings: str) -> None:
    assert healthy(judged(postgres(settings), environ={"APP_ENV": "production"}))


def test_development_is_noted(judged: Examining) -> None:
    findings = judged(
        postgres("pool_pre_ping: false, pool_recycle: -1"), environ={"APP_ENV": "dev"}
    )
    assert healthy(findings)
    assert len(findings[0].notes) == 2


def test_the_timeout_is_a_limit(judged: Examining) -> None:
    text = postgres("pool_recycle: 600")
    assert healthy(judged(text))
    assert causes(judged(text, limits={"idle_timeout": 350})) == {BEYOND: Status.WARNING}


def test_the_reference_and_nothing(judged: Examining) -> None:
    assert healthy(judged(REFERENCE.read_text(), environ={"APP_ENV": "production"}))
    (finding,) = judged(postgres("pool_size: 3"))
    assert finding.status is Status.SKIPPED
