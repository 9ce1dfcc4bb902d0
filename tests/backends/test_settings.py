"""The application's settings as facts: what is kept, what is reduced, what is left behind."""

import asyncio
import os
from pathlib import Path

import msgspec
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.checks.settings.examining import REFERENCE, STRONG, read

from backend_doctor.backends.settings.application import ApplicationSettings
from backend_doctor.backends.settings.connection import connect
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Problem

CANARY = "c4n4ry"


def facts(path: Path, text: str, **environ: str) -> ApplicationSettings:
    path.write_text(text, encoding="utf-8")
    found = read(path, environ)[1]
    assert found is not None
    return found


def test_the_reference(tmp_path: Path) -> None:
    urls = {"DATABASE_URL": f"postgresql+asyncpg://u:{CANARY}@DB:5433/shop?x={CANARY}"}
    found = facts(tmp_path / "s.yaml", REFERENCE.read_text(), **urls)
    assert (found.environment, found.development, found.production) == ("development", True, False)
    assert found.values["env"].place.endswith("s.yaml:4, from APP_ENV (its default)")
    assert (found.number("pool_size"), found.number("max_overflow")) == (20, 30)
    assert (found.seconds("access_token"), found.seconds("refresh_token")) == (1800, 604800)
    (secret,) = found.secrets
    assert (secret.weakness, secret.size, secret.fallback) == ("placeholder", 15, True)
    database, mongodb, redis = found.stores
    assert (database.scheme, database.host, database.port) == ("postgresql+asyncpg", "db", 5433)
    assert (mongodb.host, redis.host) == ("", "")
    assert [one.partition(" ")[0] for one in found.unresolved] == [
        "database.mongodb.url",
        "database.redis.url",
    ]
    assert CANARY.encode() not in msgspec.json.encode(found)


def test_urls_are_reduced_or_left_behind(tmp_path: Path) -> None:
    urls = [
        f"redis://:{CANARY}@h/0",
        f"redis://:{CANARY}/x@h/0",
        f"redis://h/0?password=a@{CANARY}",
        f"redis://u:1/{CANARY}@h",
        CANARY,
    ]
    for url in urls:
        found = facts(tmp_path / "s.yaml", yaml.safe_dump({"database": {"redis": {"url": url}}}))
        assert CANARY.encode() not in msgspec.json.encode(found)
        assert found.stores[0].host == ("h" if url == urls[0] else "")


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    text = "app: {env: dev}\nlogging: {level: INFO}\nsecurity: {secret_key: changeme}\n"
    found = facts(
        tmp_path / "s.yaml",
        text,
        APP_ENV="production",
        LOG_LEVEL="DEBUG",
        SECRET_KEY=STRONG,
        CORS_ORIGINS="https://a.example, https://b.example",
    )
    assert found.production
    assert found.values["log_level"].value == "DEBUG"
    assert found.texts("cors_origins") == ("https://a.example", "https://b.example")
    assert [one.key for one in found.secrets] == ["SECRET_KEY"]
    assert len(found.overridden) == 3


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    endpoint = Endpoint(
        kind="settings", hosts=(), socket="s", options=(("file", str(tmp_path / "s.yaml")),)
    )
    login, file = asyncio.run(asyncio.wait_for(connect(endpoint, limit=1.0), 5))
    assert (login.problem, file) == (Problem.OTHER, None)
    assert "is no file" in login.message


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
SCALARS |= st.sampled_from([f"${{{CANARY}}}", "${X:-1}", "${", f"x://u:{CANARY}@h", CANARY])
NAMES = (
    "app env database postgresql redis url pool_size security secret_key cors allow_origins "
    "access_token_ttl session ttl password token"
)
KEYS = st.sampled_from(NAMES.split())
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_any_tree_becomes_facts_that_survive_json(tmp_path: Path, tree: object) -> None:
    found = facts(tmp_path / "s.yaml", yaml.safe_dump(tree))
    encoded = msgspec.json.encode(found)
    assert msgspec.json.decode(encoded, type=ApplicationSettings) == found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    section=st.sampled_from(["security", "app", "database.redis", "other"]),
    key=st.sampled_from(["secret_key", "jwt_secret", "password", "token", "url", "api_key", "x"]),
    secret=st.text("abcXYZ019@/:?#-_", max_size=12),
)
def test_no_secret_is_kept(tmp_path: Path, section: str, key: str, secret: str) -> None:
    tree: object = {key: f"{CANARY}{secret}"}
    for name in reversed(section.split(".")):
        tree = {name: tree}
    found = facts(tmp_path / "s.yaml", yaml.safe_dump(tree))
    assert CANARY.encode() not in msgspec.json.encode(found)
