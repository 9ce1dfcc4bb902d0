"""``check --settings``: the application's own settings, judged offline."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.checks.settings.examining import REFERENCE, STRONG

URLS = {
    "DATABASE_URL": "postgresql://u:c4n4ry@127.0.0.1:1/d",
    "MONGODB_URL": "mongodb://u:c4n4ry@127.0.0.1:1/d",
    "REDIS_URL": "redis://:c4n4ry@127.0.0.1:1/0",
}
OWN = ("APP_ENV", "SECRET_KEY", "CORS_ORIGINS", "LOG_LEVEL")


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in (*URLS, *OWN)}
    return subprocess.run(
        [sys.executable, "-m", "backend_doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=kept | {"XDG_CONFIG_HOME": str(folder)} | environ,
    )


def causes(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {one["label"] for one in json.loads(done.stdout)["causes"]}


def examine(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    options = ("--settings", str(REFERENCE), "--format", "json", "--window", "0")
    return run(folder, "check", "default.settings", *options, *arguments, **environ, **URLS)


def test_the_references_own_example_is_judged(tmp_path: Path) -> None:
    done = examine(tmp_path, APP_ENV="production")
    assert done.returncode == 2, done.stderr
    assert causes(done) >= {"cors.wildcard_with_credentials", "settings.default_secret"}
    assert "c4n4ry" not in done.stdout + done.stderr


def test_a_sound_environment_above_it(tmp_path: Path) -> None:
    done = examine(
        tmp_path,
        "--skip",
        "settings.pools",
        APP_ENV="production",
        SECRET_KEY=STRONG,
        CORS_ORIGINS="https://shop.example",
    )
    assert (done.returncode, causes(done)) == (0, set())
    assert STRONG not in done.stdout


def test_a_file_named_by_a_service(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text("app: {env: production, debug: true}\n")
    (tmp_path / "backend-doctor.yaml").write_text("services: {shop: {settings: app.yaml}}\n")
    done = run(tmp_path, "check", "--format", "json", "--window", "0")
    assert (done.returncode, causes(done)) == (2, {"settings.debug_in_production"})
    (tmp_path / "app.yaml").unlink()
    done = run(tmp_path, "check", "--format", "json", "--window", "0")
    assert (done.returncode, causes(done)) == (2, {"settings.unreadable"})
    found = json.loads(done.stdout)
    assert found["summary"]["roots"] == 1
    assert found["summary"]["explained"] == len(found["findings"]) - 1


def test_the_bare_environment(tmp_path: Path) -> None:
    done = run(tmp_path, "check", "--format", "json", APP_ENV="production", SECRET_KEY="changeme")
    assert (done.returncode, causes(done)) == (2, {"settings.default_secret"})
    assert "changeme" not in done.stdout
