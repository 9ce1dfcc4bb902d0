"""Lists of libraries: what each form says, what is not followed, and what is left alone."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor import Instance
from backend_doctor.backends.settings.connection import SettingsFile
from backend_doctor.backends.settings.libraries import LARGEST, Libraries
from backend_doctor.backends.settings.library_lists import named_in
from backend_doctor.facts import AbsenceKind, Absent, Setting

REQUIREMENTS = """\
# python-jose==3.3.0 was here
--index-url https://python-jose.example/
-r python-jose.txt
fastapi==0.110  # python-jose==3.3.0
python_jose[cryptography]==3.3.0 \\
    --hash=sha256:9
PyJWT >= 2.4 , < 3 ; python_version < "3.13"
flask.cors
joserfc @ https://files.example/joserfc-1.0.0.whl
python-jose-cryptodome==1.3.2
"""
PYPROJECT = """\
[project]
description = "PyJWT==2.0.0"
# "PyJWT==2.3.0"
dependencies = ["fastapi", "PyJWT==2.3.0"]
[project.optional-dependencies]
test = ["python-jose==3.3.0"]
[tool.poetry.dependencies]
python-jose = {version = "3.3.0", extras = ["cryptography"]}
Flask-Cors = "^4.0.1"
"""
POETRY = """\
[[package]]
name = "fastapi"
version = "0.110"
[package.dependencies]
name = "python-jose"
version = "3.3.0"
[[package]]
name = "PyJWT"
version = "2.3.0"
groups = ["main", "dev"]
[[package]]
name = "flask-cors"
version = "4.0.0"
groups = ["dev"]
"""
UV = """\
version = 1
[[package]]
name = "shop"
version = "0"
dependencies = [
    { name = "python-jose" },
]
[[package]]
name = "python-jose"
version = "3.5.0"
"""
PIPFILE = """\
{"_meta": {},
 "default": {
  "pyjwt": {"version": "==2.3.0", "markers": "python_version >= '3.7'"},
  "flask-cors": {"git": "https://git.example/x"}},
 "develop": {"python-jose": {"version": "==3.3.0"}}}
"""
Said = tuple[int, str, str, str, bool]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "requirements.txt",
            REQUIREMENTS,
            [
                (5, "python-jose", "3.3.0", "", False),
                (7, "pyjwt", "", "2.4", True),
                (8, "flask-cors", "", "", False),
                (9, "joserfc", "", "", False),
            ],
        ),
        (
            "pyproject.toml",
            PYPROJECT,
            [
                (4, "pyjwt", "2.3.0", "", False),
                (8, "python-jose", "3.3.0", "", False),
                (9, "flask-cors", "", "4.0.1", False),
            ],
        ),
        ("poetry.lock", POETRY, [(8, "pyjwt", "2.3.0", "", False)]),
        ("uv.lock", UV, [(9, "python-jose", "3.5.0", "", False)]),
        (
            "Pipfile.lock",
            PIPFILE,
            [(3, "pyjwt", "2.3.0", "", True), (4, "flask-cors", "", "", False)],
        ),
    ],
)
def test_each_form_is_read_with_its_lines(file: str, text: str, said: list[Said]) -> None:
    found = [
        (int(one.place.rpartition(":")[2]), one.name, one.version, one.least, one.conditional)
        for one in named_in(file, text, file)
    ]
    assert found == said


@given(
    file=st.sampled_from(["requirements.txt", "pyproject.toml", "poetry.lock", "Pipfile.lock"]),
    text=st.text(max_size=60)
    | st.lists(st.sampled_from([*REQUIREMENTS, "python-jose", "==", "\n", "[[package]]\nname ="]))
    .map("".join),
)  # fmt: skip
def test_any_text_is_read_or_refused(file: str, text: str) -> None:
    try:
        found = named_in(file, text, file)
    except (ValueError, RecursionError):
        return
    assert all(one.place.startswith(file) for one in found)


def collected(path: Path, **settings: Setting) -> Libraries:
    """The fact of a settings file at ``path``."""
    instance = Instance(
        service="shop",
        backend="settings",
        name="settings",
        address="s",
        host="",
        port=0,
        settings=settings,
    )
    return asyncio.run(Libraries.collect(SettingsFile("s", path, (), None), instance))


def pin(path: Path, text: str = "python-jose==3.3.0\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_lists_are_looked_for_in_the_folder_and_two_above_it(tmp_path: Path) -> None:
    settings = pin(tmp_path / "a" / "b" / "c" / "settings.yaml")
    for folder in (settings.parent, *settings.parent.parents[:3]):
        pin(folder / "requirements.txt")
    for name in ("requirements-dev.txt", "requirements_tests.txt", "constraints.txt"):
        pin(tmp_path / "a" / name)
    found = collected(settings)
    assert [Path(file).parent.name for file in found.files] == ["c", "b", "a"]
    (tmp_path / "a").chmod(0o777)
    assert len(collected(settings).files) == 2, "anybody may have put it there"
    (tmp_path / "a").chmod(0o700)
    (settings.parent.parent / ".git").mkdir()
    assert len(collected(settings).files) == 2, "nothing above the repository's root"


def test_what_leads_elsewhere_or_never_ends_is_left_alone(tmp_path: Path) -> None:
    elsewhere = pin(tmp_path / "elsewhere" / "uv.lock", UV)
    settings = pin(tmp_path / "app" / "x" / "y" / "settings.yaml")
    (settings.parent / "uv.lock").symlink_to(elsewhere)
    os.mkfifo(settings.parent / "poetry.lock")
    (settings.parent / "requirements.txt").mkdir()
    (settings.parent / "Pipfile.lock").write_text("[" * 100_000)
    pin(settings.parent / "requirements-web.txt", "#" * (LARGEST + 1))
    found = collected(settings)
    assert (found.named, found.files, len(found.unread)) == ((), (), 4)
    assert any("larger than 2048 KiB" in one for one in found.unread)


def test_no_list_is_no_fault_and_a_missing_one_that_is_declared_is(tmp_path: Path) -> None:
    settings = pin(tmp_path / "a" / "b" / "settings.yaml")
    with pytest.raises(Absent) as none:
        collected(settings)
    assert none.value.absence.kind is AbsenceKind.NOT_APPLICABLE
    with pytest.raises(Absent) as missing:
        collected(settings, lock_file=str(tmp_path / "none.lock"))
    assert missing.value.absence.kind is AbsenceKind.BLIND
    lock = pin(tmp_path / "locks" / "my.lock", UV)
    assert collected(settings, lock_file=str(lock)).named[0].version == "3.5.0"


def test_a_declared_lock_file_is_judged_by_the_command(tmp_path: Path) -> None:
    pin(tmp_path / "settings.yaml", "app: {env: dev}\n")
    pin(tmp_path / "locks" / "uv.lock", UV)
    config = pin(
        tmp_path / "shop.yaml",
        "services: {shop: {settings: {file: settings.yaml, lock_file: locks/uv.lock}}}\n",
    )
    asked = ("--config", str(config), "--format", "json", "--only", "settings.token_libraries")
    done = subprocess.run(
        [sys.executable, "-m", "backend_doctor", "check", *asked],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    (cause,) = json.loads(done.stdout)["causes"]
    assert cause["label"] == "token.library_unsafe"
    assert "uv.lock:9" in done.stdout
