"""``init``, run as a command: what it writes can be used at once."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

URL = "postgresql://app:c4n4ry%2F@db/shop"


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if "_URL" not in key}
    return subprocess.run(
        [sys.executable, "-m", "backend_doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=kept | {"XDG_CONFIG_HOME": str(folder)} | environ,
    )


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({}, ["localhost:5432/postgres"]),
        ({"DATABASE_URL": URL}, ["db:5432/shop"]),
        ({"REDIS_URL": "redis://:c4n4ry@cache/3"}, ["cache:6379/3"]),
        (
            {"MONGODB_URL": "mongodb://u:c4n4ry@mongo/shop", "AMQP_URL": "amqp://u:c4n4ry@broker"},
            ["mongo:27017/shop", "broker:5672"],
        ),
        ({"DATABASE_URL": URL, "REDIS_URL_FILE": "url"}, ["db:5432/shop", "filed:6379/0"]),
        ({"DATABASE_URL": "sqlite:///c4n4ry", "REDIS_URL": "redis://cache"}, ["cache:6379/0"]),
    ],
)
def test_the_file_loads_and_holds_no_value(
    tmp_path: Path, environ: dict[str, str], shown: list[str]
) -> None:
    (tmp_path / "url").write_text("redis://:c4n4ry@filed\n")
    done = run(tmp_path, "init", **environ)
    path = tmp_path / "backend-doctor.yaml"
    assert done.returncode == 0
    assert "Next: backend-doctor check\n" in done.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "c4n4ry" not in path.read_text() + done.stdout + done.stderr
    show = run(tmp_path, "config", "show", **environ)
    assert show.returncode == 0
    addresses = [line.split()[1] for line in show.stdout.splitlines() if "address" in line]
    assert addresses == shown
    assert "c4n4ry" not in show.stdout + show.stderr


def test_a_variable_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "init", "-", DATABASE_URL="redis://:c4n4ry@h", REDIS_URL_FILE="no")
    assert done.returncode == 0
    assert "note: not used: DATABASE_URL: is no URL of postgres" in done.stderr
    assert "note: not used: REDIS_URL_FILE: the file no cannot be read" in done.stderr
    assert "c4n4ry" not in done.stdout + done.stderr


def test_it_overwrites_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("kept" * 1000)
    path.chmod(0o644)
    done = run(tmp_path, "init", "mine.yaml")
    assert done.returncode == 3
    assert "mine.yaml: the file exists" in done.stderr
    assert path.read_text().startswith("kept")
    assert run(tmp_path, "init", "mine.yaml", "--force").returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run(tmp_path, "config", "show", "--config", "mine.yaml").returncode == 0


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for path, reason in (("no/such.yaml", "No such file"), (".", "exists")):
        done = run(tmp_path, "init", path)
        assert done.returncode == 3
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
    done = run(tmp_path, "init", ".", "--force")
    assert "Is a directory" in done.stderr


def test_dash_prints(tmp_path: Path) -> None:
    done = run(tmp_path, "init", "-")
    assert done.stdout.startswith("# What backend-doctor examines")
    assert list(tmp_path.iterdir()) == []
