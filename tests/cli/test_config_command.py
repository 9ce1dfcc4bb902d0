"""``config show`` and ``config schema``, run as commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.config.example import EXAMPLE, EXAMPLE_FILES
from tests.config.test_schema import SCHEMA


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
    for name, content in EXAMPLE_FILES.items():
        (tmp_path / name).write_text(content)
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


def test_the_schema_is_printed(tmp_path: Path) -> None:
    done = run(tmp_path, "config", "schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == SCHEMA
