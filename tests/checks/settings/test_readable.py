"""settings.readable: a file, and what is said of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.checks.settings.examining import REFERENCE, read

from backend_doctor import Finding, Status
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "settings" / "readable.py")


def judged(path: Path | None, **environ: str) -> Finding:
    function: Callable[..., Any] = CHECK.function
    (finding,) = function(*read(path, environ))
    assert isinstance(finding, Finding)
    return finding


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("database: {url: 'postgresql://u:c4n4ry@h\n", "settings.yaml:2: is not valid YAML"),
        ("- c4n4ry\n", "settings.yaml:1: is a list"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "settings.yaml"
    if content is not None:
        path.write_text(content)
    finding = judged(path)
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.label == "settings.unreadable"
    assert said in finding.evidence[0].text
    assert "c4n4ry" not in repr(finding)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is no file" in judged(tmp_path).summary


def test_what_can_be_read() -> None:
    finding = judged(REFERENCE, DATABASE_URL="postgresql://u:c4n4ry@h/d", MONGODB_URL="x")
    assert finding.status is Status.OK
    assert [note.partition(" ")[0] for note in finding.notes] == ["database.redis.url"]
    assert "c4n4ry" not in repr(finding)


def test_what_the_environment_stands_above(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("app: {env: dev}\nsecurity: {secret_key: c4n4ry}\n")
    finding = judged(path, APP_ENV="production", SECRET_KEY="c4n4ry-too")
    assert len(finding.notes) == 2
    assert "c4n4ry" not in repr(finding)


def test_the_environment_alone() -> None:
    assert judged(None, APP_ENV="production").status is Status.OK


@pytest.mark.parametrize(("service", "shown"), [("shop", True), ("adhoc", False)])
def test_a_configuration_is_shown_only_where_there_is_one(
    tmp_path: Path, service: str, shown: bool
) -> None:
    login, _, place = read(tmp_path / "settings.yaml", {})
    (finding,) = CHECK.function(login, None, msgspec.structs.replace(place, service=service))
    commands = [remedy.command for remedy in finding.remedies]
    assert ("backend-doctor config show" in commands) is shown
