"""settings.secret_key: facts in, findings out."""

import msgspec
import pytest
from tests.checks.settings.examining import REFERENCE, STRONG, Examining, causes, healthy

from backend_doctor import Status

DEFAULT, SHORT = "settings.default_secret", "settings.short_secret"
PRODUCTION = {"APP_ENV": "production"}


def security(secret: str) -> str:
    return f"security: {{secret_key: '{secret}'}}\n"


@pytest.mark.parametrize(
    ("secret", "environ", "found"),
    [
        ("your-secret-key", {}, {DEFAULT: Status.WARNING}),
        ("your-secret-key", PRODUCTION, {DEFAULT: Status.CRITICAL}),
        ("your-secret-key", {"APP_ENV": "development"}, {DEFAULT: Status.WARNING}),
        ("${SECRET_KEY:-your-secret-key}", PRODUCTION, {DEFAULT: Status.CRITICAL}),
        ("a" * 64, PRODUCTION, {DEFAULT: Status.CRITICAL}),
        ("kZ4-Qm81_pLr", PRODUCTION, {SHORT: Status.CRITICAL}),
        (STRONG[:31], PRODUCTION, {SHORT: Status.WARNING}),
        (STRONG[:31], {}, {SHORT: Status.WARNING}),
        ("${SECRET_KEY}", PRODUCTION, {"settings.unresolved_secret": Status.WARNING}),
        ("${SECRET_KEY}", {"SECRET_KEY": "changeme", **PRODUCTION}, {DEFAULT: Status.CRITICAL}),
        ("", PRODUCTION, {SHORT: Status.CRITICAL}),
    ],
)
def test_causes(
    judged: Examining, secret: str, environ: dict[str, str], found: dict[str, Status]
) -> None:
    findings = judged(security(secret), environ=environ)
    assert causes(findings) == found
    assert "settings.yaml:1" in findings[0].evidence[0].text or "SECRET_KEY" in environ


@pytest.mark.parametrize(
    ("secret", "environ"),
    [
        (STRONG, PRODUCTION),
        ("${SECRET_KEY}", {"SECRET_KEY": STRONG, **PRODUCTION}),
        ("your-secret-key", {"SECRET_KEY": STRONG, **PRODUCTION}),
        ("${SECRET_KEY:-your-secret-key}", {"APP_ENV": "development"}),
        ("kZ4-Qm81_pLr", {"APP_ENV": "development"}),
    ],
)
def test_healthy_twins(judged: Examining, secret: str, environ: dict[str, str]) -> None:
    assert healthy(judged(security(secret), environ=environ))


def test_the_algorithm_asks_for_more(judged: Examining) -> None:
    text = f"security: {{secret_key: {STRONG}, algorithm: HS512}}\n"
    assert causes(judged(text)) == {SHORT: Status.WARNING}
    assert healthy(judged(text.replace("HS512", "HS256")))


def test_the_environment_alone(judged: Examining) -> None:
    assert causes(judged("app: {}\n", environ={"SECRET_KEY": "secret"})) == {
        DEFAULT: Status.WARNING
    }
    (none,) = judged("app: {}\n")
    assert none.status is Status.SKIPPED


def test_the_reference(judged: Examining) -> None:
    text = REFERENCE.read_text()
    assert causes(judged(text, environ=PRODUCTION)) == {DEFAULT: Status.CRITICAL}
    assert causes(judged(text.replace("${SECRET_KEY:-your-secret-key}", "your-secret-key"))) == {
        DEFAULT: Status.WARNING
    }
    assert healthy(judged(text, environ={"SECRET_KEY": STRONG, **PRODUCTION}))


@pytest.mark.parametrize("secret", ["c4n4ry", STRONG, "${C4N4RY:-c4n4ryc4n4ry}"])
def test_no_secret_in_facts_or_findings(judged: Examining, secret: str) -> None:
    text = security(secret) + "database: {redis: {url: 'redis://:c4n4ry@h/0', note: c4n4ry}}\n"
    shown = msgspec.json.encode([judged.facts(text, {}), judged(text)])
    assert b"c4n4ry" not in shown
    assert STRONG.encode() not in shown
