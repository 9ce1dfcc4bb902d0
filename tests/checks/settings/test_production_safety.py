"""settings.production_safety: facts in, findings out."""

import pytest
from tests.checks.settings.examining import REFERENCE, Examining, causes, healthy

from backend_doctor import Status

CARELESS = """\
app: {env: "${APP_ENV:-development}", debug: true}
server: {reload: "true"}
database: {postgresql: {url: 'postgresql://h/d', echo: on}}
logging: {level: debug}
"""


def test_a_developers_settings_in_production(judged: Examining) -> None:
    findings = judged(CARELESS, environ={"APP_ENV": "production"})
    assert causes(findings) == {
        "settings.debug_in_production": Status.CRITICAL,
        "settings.reload_in_production": Status.WARNING,
        "settings.sql_echo_in_production": Status.WARNING,
        "settings.debug_logging_in_production": Status.WARNING,
    }
    assert "settings.yaml:1" in findings[0].evidence[0].text
    assert "APP_ENV" in findings[0].summary


def test_the_same_in_development_is_noted(judged: Examining) -> None:
    findings = judged(CARELESS)
    assert healthy(findings)
    assert len(findings[0].notes) == 4


def test_debug_where_nothing_is_stated(judged: Examining) -> None:
    found = causes(judged("app: {debug: true}\nserver: {reload: true}\n"))
    assert found == {"settings.debug_in_production": Status.WARNING}


def test_the_environments_log_level_stands_above_the_file(judged: Examining) -> None:
    text = "app: {env: production}\nlogging: {level: INFO}\n"
    assert healthy(judged(text))
    (finding,) = judged(text, environ={"LOG_LEVEL": "DEBUG"})
    assert finding.cause is not None
    assert finding.cause.label == "settings.debug_logging_in_production"
    assert "LOG_LEVEL" in finding.evidence[0].text
    assert healthy(judged(text.replace("INFO", "DEBUG"), environ={"LOG_LEVEL": "WARNING"}))


@pytest.mark.parametrize("env", ["production", "development", "staging"])
def test_the_reference_is_safe(judged: Examining, env: str) -> None:
    assert healthy(judged(REFERENCE.read_text(), environ={"APP_ENV": env}))
