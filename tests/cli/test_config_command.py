"""``config show`` and ``config schema``, run as commands."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.config.malformed import MALFORMED

from backend_doctor.cli.init import first_configuration

EXAMPLE = """\
services:
  shop:
    replicas: 3
    postgres: {url: "${SHOP_URL}", pool_size: 20, max_overflow: 30, analyze: true}
    redis:
      - {name: cache, url: "redis://:c4n4ry@cache", max_connections: 5}
      - {name: sessions, url: file:secret}
    pgbouncer: postgresql://u:c4n4ry@h
    mongodb: {url: "mongodb://u:c4n4ry@h1,h2/shop", max_pool_size: 0}
    rabbitmq: {url: "amqp://u:c4n4ry@broker/v", management: "http://broker:15672"}
    http: [{name: api, url: "https://api.example", health: /healthz, metrics: /metrics}]
    cors:
      url: https://api.example
      origins: ["https://myapp.com"]
      methods: [GET, PUT]
      headers: [authorization]
      paths: [/api/orders]
      refused: ["https://evil.example"]
      credentials: true
    token:
      sample: {file: token.jwt}
      secret: c4n4ry
      leeway: 60
      long_lived: false
      hosts: ["https://a", "https://b"]
    process: [{port: 8000}, {name: worker, unit: worker.service}]
    settings: {file: config/settings.yaml, env: staging}
limits: {postgres.pool_exhaustion: {warning: 0.7}}
ignore: [{check: redis.clients, service: shop, until: 2030-01-31, reason: known}]
checks: [mine]
"""
# what no schema can tell: files, variables, URLs' insides, names that must differ or exist
BEYOND_SCHEMA = {
    "console of another kind", "name twice", "not a URL", "other kind",
    "other new kind", "http of amqp", "management of amqp", "management with password",
    "srv with port", "token sample missing", "token key set missing",
    "token hosts", "token audience", "token algorithm", "token protected",
    "token protected path without a host", "token session keys without a redis",
    "token session keys with a blank", "scheme",
    "port", "ambiguous", "sslmode", "unset variable",
    "open reference", "reference without name", "bad URL in variable", "env: unset",
    "env: no name", "file: missing", "file: folder", "file: URL", "file: endless", "file: empty",
    "ignore service", "checks missing", "workers from text", "limits infinite",
    "duplicate deep",
}  # fmt: skip


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    left_out = ("_URL", "APP_ENV", "SECRET_KEY", "CORS_ORIGINS", "LOG_LEVEL")
    kept = {key: value for key, value in os.environ.items() if not key.endswith(left_out)}
    return subprocess.run(
        [sys.executable, "-m", "backend_doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=kept | {"XDG_CONFIG_HOME": str(folder)} | environ,
    )


def test_show_names_origins_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(EXAMPLE)
    (tmp_path / "secret").write_text("redis://:c4n4ry@sessions\n")
    (tmp_path / "token.jwt").write_text("c4n4ry.c4n4ry.c4n4ry\n")
    (tmp_path / "mine").mkdir()
    url = "postgresql://app:c4n4ry@db/shop"
    done = run(tmp_path, "config", "show", "--config", "shop.yaml", SHOP_URL=url)
    rows = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert done.returncode == 0
    assert rows >= {
        "configuration: shop.yaml",
        "replicas 3 shop.yaml:3",
        "workers 1 default",
        "address db:5432/shop from SHOP_URL",
        "password set (not shown) from SHOP_URL",
        "pool_size 20 shop.yaml:4",
        "analyze true shop.yaml:4",
        "redis cache",
        "max_connections 5 shop.yaml:6",
        "address sessions:6379/0 from file secret",
        "postgres.pool_exhaustion warning: 0.7",
        "redis.clients shop until 2030-01-31: known",
        "mine",
        "address h:6432/pgbouncer shop.yaml:8",
        "address h1:27017,h2:27017/shop shop.yaml:9",
        "max_pool_size 0 shop.yaml:9",
        "address broker:5672/v shop.yaml:10",
        "management http://broker:15672 shop.yaml:10",
        "http api",
        "health /healthz shop.yaml:11",
        "origins https://myapp.com shop.yaml:14",
        "methods GET, PUT shop.yaml:15",
        "credentials true shop.yaml:19",
        "address token.jwt shop.yaml:20",
        "sample set (not shown) shop.yaml:20",
        "secret set (not shown) shop.yaml:20",
        "leeway 60 shop.yaml:23",
        "address port 8000 shop.yaml:26",
        "process worker",
        "address unit worker.service shop.yaml:26",
        "address config/settings.yaml config/settings.yaml",
        "env staging shop.yaml:27",
    }
    assert done.stderr == ""
    assert "c4n4ry" not in done.stdout + done.stderr


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = run(
        tmp_path, "config", "show", "env:SOME_URL", SOME_URL="postgresql://u@h/\u202edb\u009b"
    )
    assert done.returncode == 3
    done = run(tmp_path, "config", "show", "env:SOME_URL", SOME_URL="postgresql://u@h/\u202edb")
    assert "h:5432/\\u202edb" in done.stdout


def test_show_takes_settings_and_targets(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("database: {redis: {url: 'redis://h/1'}}")
    done = run(tmp_path, "config", "show", "--settings", "settings.yaml", "default.redis")
    assert done.returncode == 0
    assert "h:6379/1" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("shop",), ("--config", "nowhere")])
def test_nothing_to_show(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, "config", "show", *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("backend-doctor: ")
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    done = run(tmp_path_factory.mktemp("schema"), "config", "schema")
    assert done.returncode == 0
    return json.loads(done.stdout)


def as_json(text: str | bytes) -> object:
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


def test_schema_accepts_what_loads(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    for text in (EXAMPLE, first_configuration({})[0]):
        jsonschema.validate(as_json(text), schema)


def test_schema_refuses_what_does_not_load(schema: Any) -> None:
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    accepted = set()
    for name in MALFORMED.keys() - {"bomb"}:
        case = MALFORMED[name]
        try:
            tree = as_json(case.content)
        except (yaml.YAMLError, ValueError, RecursionError, TypeError):
            continue
        if validator.is_valid(tree):
            accepted.add(name)
    assert accepted == BEYOND_SCHEMA
