"""A check's signature is its declaration; what declares nothing is refused with one message."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from backend_doctor import Each, Login, Looks, Service
from backend_doctor.errors import UserError
from backend_doctor.registry import Need, bundled_folder, load_checks, load_file, need_of

GOOD = """
from collections.abc import Iterator
from backend_doctor import Finding, Login, Looks, Service, Status, check

@check
def disk(
    login: Login, before: Looks[Login] | None, service: Service,
    *, warning: float = 0.8, tries: int = 3, word: str = "x", strict: bool = False,
) -> Iterator[Finding]:
    \"\"\"The disk is full.

    Nobody can write.
    \"\"\"
    yield Finding(status=Status.OK, summary=f"{warning} {tries}.")
"""
PAGE = "# redis.disk: x\n\n## Causes\n\n### `disk.full`\n\n### Not a cause\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes checks/redis/disk.py."""

    def written(text: str, name: str = "disk.py") -> Path:
        path = tmp_path / "checks" / "redis" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return written


def test_the_signature_is_read(write: Callable[[str], Path]) -> None:
    check = load_file(write(GOOD))
    assert (check.id, check.backend, check.title) == ("redis.disk", "redis", "The disk is full.")
    assert check.needs == (
        Need("login", Login, "one", False),
        Need("before", Login, "looks", True),
        Need("service", Service, "one", False),
    )
    limits = [(limit.name, limit.type, limit.default) for limit in check.limits]
    assert limits == [
        ("warning", float, 0.8),
        ("tries", int, 3),
        ("word", str, "x"),
        ("strict", bool, False),
    ]


def test_the_causes_are_the_sections_of_the_runbook_beside(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    path = write(GOOD)
    assert (load_file(path).runbook, load_file(path).causes) == (None, ())
    page = tmp_path / "runbooks" / "redis" / "disk.md"
    page.parent.mkdir(parents=True)
    page.write_text(PAGE)
    assert (load_file(path).runbook, load_file(path).causes) == (page, ("disk.full",))


@pytest.mark.parametrize(
    ("annotation", "need"),
    [
        (Login, Need("x", Login, "one", False)),
        (Login | None, Need("x", Login, "one", True)),
        (Looks[Login], Need("x", Login, "looks", False)),
        (Looks[Login] | None, Need("x", Login, "looks", True)),
        (Each[Login], Need("x", Login, "each", False)),
    ],
)
def test_what_an_annotation_asks_for(annotation: Any, need: Need) -> None:
    assert need_of("x", annotation) == need


@pytest.mark.parametrize("annotation", [int, str | None, Login | Service, list[Login], "Login"])
def test_what_no_annotation_may_ask_for(annotation: Any) -> None:
    with pytest.raises(TypeError, match="'x'"):
        need_of("x", annotation)


BROKEN = {
    "syntax": ("def disk(:\n", "SyntaxError"),
    "import": ("import no_such_module_at_all\n", "no_such_module_at_all"),
    "raises": ("1 / 0\n", "ZeroDivisionError"),
    "leaves": ("raise SystemExit(0)\n", "SystemExit"),
    "empty": ("", "expected one function named 'disk'"),
    "unmarked": (GOOD.replace("@check", ""), "expected one function named 'disk'"),
    "other name": (GOOD.replace("def disk", "def memory"), "expected one function named 'disk'"),
    "two": (GOOD + GOOD.replace("def disk", "def more"), "expected one function named 'disk'"),
    "no default": (GOOD.replace("float = 0.8", "float"), "limit 'warning' has no default"),
    "no type": (GOOD.replace("warning: float = 0.8", "warning=0.8"), "'warning' has no type"),
    "no fact": (GOOD.replace("login: Login", "login: int"), "'login' is annotated with"),
    "no docstring": (re.sub(r'""".*?"""', "...", GOOD, flags=re.DOTALL), "no docstring"),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(
    write: Callable[[str], Path], text: tuple[str, str]
) -> None:
    source, wrong = text
    path = write(source)
    with pytest.raises(UserError) as caught:
        load_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert wrong in str(caught.value)


def test_a_later_folder_replaces_a_check_of_the_same_id(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    path = write(GOOD)
    mine = shutil.copytree(tmp_path / "checks", tmp_path / "other" / "checks")
    loaded = load_checks([tmp_path / "checks", mine], plugins=False)
    assert loaded["redis.disk"].path == mine / "redis" / path.name
    assert loaded["redis.reachability"].path.is_relative_to(bundled_folder())


@pytest.mark.parametrize("metadata", ["theirs-1.0.dist-info", "theirs.egg-info"])
def test_the_checks_of_an_installed_package_are_found(
    metadata: str, write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = write(GOOD).parents[1].rename(tmp_path / "their_checks")
    (tmp_path / metadata).mkdir()
    (tmp_path / metadata / "entry_points.txt").write_text(
        "[console_scripts]\nshop = shop:run\n\n[backend_doctor.checks]\ntheirs = their_checks\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert load_checks(backends=["redis"])["redis.disk"].path.is_relative_to(theirs)
    assert "redis.disk" not in load_checks(backends=["redis"], plugins=False)


def test_only_the_wanted_kinds_are_loaded(write: Callable[[str], Path], tmp_path: Path) -> None:
    write("1 / 0")
    assert {check.backend for check in load_checks(backends=["postgres"]).values()} == {"postgres"}
    load_checks([tmp_path / "checks"], backends=["postgres"])
    with pytest.raises(UserError):
        load_checks([tmp_path / "checks"], backends=["redis"])


def test_files_with_an_underscore_are_no_checks(write: Callable[..., Path], tmp_path: Path) -> None:
    write("1 / 0", "_shared.py")
    assert "redis._shared" not in load_checks([tmp_path / "checks"], plugins=False)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder of checks"):
        load_checks([tmp_path / "nowhere"])
