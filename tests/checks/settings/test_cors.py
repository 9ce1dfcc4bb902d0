"""settings.cors: facts in, findings out."""

import pytest
from tests.checks.settings.examining import REFERENCE, Examining, causes, healthy

from backend_doctor import Status

WILDCARD = "cors.wildcard_with_credentials"
LOST = "cors.origin_never_matches"


def cors(origins: str, more: str = "allow_credentials: true") -> str:
    return f"app: {{env: '${{APP_ENV:-}}'}}\ncors: {{allow_origins: {origins}, {more}}}\n"


@pytest.mark.parametrize(
    ("text", "env", "found"),
    [
        (cors("['*']"), "production", {WILDCARD: Status.CRITICAL}),
        (cors("['*']"), "development", {WILDCARD: Status.WARNING}),
        (cors("'*'"), "", {WILDCARD: Status.WARNING}),
        (cors("[]", "allow_credentials: true, allow_origin_regex: 'https?://.*'"), "production",
         {"cors.reflects_any_origin": Status.CRITICAL}),
        (cors("['https://a.example/']"), "", {LOST: Status.WARNING}),
        (cors("['https://*.a.example', 'a.example']"), "", {LOST: Status.WARNING}),
        (cors("['http://localhost:3000', 'http://127.0.0.1', 'http://[::1]:1']"), "production",
         {"cors.localhost_in_production": Status.WARNING}),
        (cors("['http://a.example']"), "production",
         {"cors.http_origin_in_production": Status.WARNING}),
        ("security: {cors: {origins: ['*'], credentials: true}}", "", {WILDCARD: Status.WARNING}),
    ],
)  # fmt: skip
def test_causes(judged: Examining, text: str, env: str, found: dict[str, Status]) -> None:
    findings = judged(text, environ={"APP_ENV": env} if env else {})
    assert causes(findings) == found
    assert "settings.yaml:" in findings[0].evidence[0].text


@pytest.mark.parametrize(
    ("text", "env"),
    [
        (cors("['*']", "allow_credentials: false"), "production"),
        (cors("['*']", "allow_methods: ['*']"), "production"),
        (cors("['https://a.example', 'https://b.example:8443']"), "production"),
        (cors("['http://localhost:3000']"), "development"),
        (cors("[]", r"allow_credentials: true, allow_origin_regex: 'https://.*\.a\.example'"),
         "production"),
        (cors("[]", "allow_credentials: true, allow_origin_regex: '('"), "production"),
    ],
)  # fmt: skip
def test_healthy_twins(judged: Examining, text: str, env: str) -> None:
    assert healthy(judged(text, environ={"APP_ENV": env}))


@pytest.mark.parametrize("origins", ["*", "https://a.example,*", '["*"]'])
def test_the_environment_stands_above_the_file(judged: Examining, origins: str) -> None:
    text = cors("['https://a.example']")
    assert healthy(judged(text))
    (finding,) = judged(text, environ={"CORS_ORIGINS": origins})
    assert finding.cause is not None
    assert finding.cause.label == WILDCARD
    assert "CORS_ORIGINS" in finding.evidence[0].text
    assert healthy(judged(cors("['*']"), environ={"CORS_ORIGINS": "https://a.example"}))


def test_the_reference(judged: Examining) -> None:
    text = REFERENCE.read_text()
    assert causes(judged(text)) == {WILDCARD: Status.WARNING}
    assert causes(judged(text, environ={"APP_ENV": "production"})) == {WILDCARD: Status.CRITICAL}


def test_nothing_stated(judged: Examining) -> None:
    (finding,) = judged("app: {}\n")
    assert finding.status is Status.SKIPPED
