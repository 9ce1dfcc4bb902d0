"""What a user installs: built, installed into an empty environment, run from there."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend_doctor import __version__
from backend_doctor.registry import load_checks

ROOT = Path(__file__).parents[1]
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "src", "checks", "runbooks", "tests")
CHECK = '''\
from collections.abc import Iterator

from backend_doctor import Cause, Confidence, Evidence, Finding, Login, Status, check


@check
def {name}(login: Login, *, warning: float = 0.8, word: str = "x") -> Iterator[Finding]:
    """{title}."""
    cause = Cause(label="disk.full", confidence=Confidence.CERTAIN, because="it is")
    proof = Evidence(key="disk", value=1, text="the disk is full")
    yield Finding(status=Status.WARNING, summary="Full.", cause=cause, evidence=(proof,))
'''
PAGE = "# redis.{name}: the disk is full\n\n## Causes\n\n### `disk.full`\n\nDelete something.\n"


def run(
    *command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**variables, **(environment or {})},
    )


def done(ended: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """The standard output of what must have ended with this code."""
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the dependencies, and without the project."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Environment":
        venv.create(folder, symlinks=True, with_pip=False)
        packages, own = folder / "dependencies", next((folder / "lib").glob("python*"))
        packages.mkdir()
        for found in Path(sysconfig.get_path("purelib")).iterdir():
            if "backend_doctor" not in found.name and found.suffix != ".pth":
                (packages / found.name).symlink_to(found)
        (own / "site-packages" / "dependencies.pth").write_text(f"{packages}\n")
        return cls(folder)

    def install(self, *what: str | Path) -> None:
        python = self.folder / "bin" / "python"
        quiet = ("--quiet", "--disable-pip-version-check")
        pip = (sys.executable, "-m", "pip", "--python", python, "install", *quiet)
        alone = ("--no-deps", "--no-index", "--no-build-isolation")
        done(run(*pip, *alone, *what, cwd=self.folder))

    def doctor(
        self, *arguments: str | Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs the installed command, in a folder that has nothing to do with it."""
        command = self.folder / "bin" / "backend-doctor"
        return run(command, *arguments, cwd=self.folder, environment=environment)


def copy_project(target: Path) -> Path:
    """The tree without what building and testing leave in it."""
    target.mkdir()
    junk = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=junk)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("build")
    project = copy_project(folder / "project")
    # without --wheel or --sdist, the wheel is built from the unpacked sdist
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project)
    done(run(*command, cwd=folder))
    assert list(folder.glob("*.tar.gz"))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel in it."""
    environment = Environment.make(tmp_path_factory.mktemp("installed") / "venv")
    environment.install(wheel)
    return environment


def write_check(folder: Path, name: str, title: str) -> Path:
    """checks/redis/NAME.py in a folder, its runbook beside."""
    for part, suffix, text in (("checks", "py", CHECK), ("runbooks", "md", PAGE)):
        path = folder / part / "redis" / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(name=name, title=title))
    return folder / "checks"


def test_the_wheel_carries_everything(installed: Environment) -> None:
    (package,) = installed.folder.glob("lib/python*/site-packages/backend_doctor")
    carried = {str(p.relative_to(package)) for p in package.rglob("*") if p.is_file()}
    for folder in ("checks", "runbooks"):
        ours = (ROOT / folder).glob("*/*.*")
        expected = {str(p.relative_to(ROOT)) for p in ours if p.suffix in (".py", ".md")}
        assert expected <= carried
    assert {"py.typed", "reports/report.schema.json", "config/config.schema.json"} <= carried
    assert "demo/shop/schema.sql" in carried
    assert not [name for name in carried if name.startswith("tests")]


def test_the_wheel_runs(installed: Environment) -> None:
    assert __version__ in done(installed.doctor("--version"))
    checks = load_checks(plugins=False)
    listed = done(installed.doctor("list"))
    pages = done(installed.doctor("runbook"))
    for check_id, check in checks.items():
        assert f"{check_id}\n  {check.title}" in listed
        assert all(cause in pages for cause in check.causes)
    page = (ROOT / "runbooks" / "postgres" / "lock_waits.md").read_text(encoding="utf-8")
    assert done(installed.doctor("runbook", "postgres.lock_waits")) == page
    assert done(installed.doctor("runbook", "lock.ddl_queue")) == page
    refused = done(installed.doctor("check", "redis://127.0.0.1:1", "--window", "0"), 2)
    assert "reach.refused" in refused


def test_a_users_folder_of_checks_loads_as_ours(installed: Environment, tmp_path: Path) -> None:
    checks = write_check(tmp_path, "disk", "The disk is full")
    listed = done(installed.doctor("list", "--checks", checks))
    entry = listed[listed.index("redis.disk") :].split("\n\n")[0]
    assert "The disk is full." in entry
    assert "names   disk.full" in entry
    assert "limits  warning 0.8, word x" in entry
    page = done(installed.doctor("runbook", "disk.full", "--checks", checks))
    assert page == PAGE.format(name="disk")
    report = installed.doctor(
        "check", "redis://127.0.0.1:1", "--checks", checks, "--only", "redis.disk", "--window", "0"
    )
    assert "disk.full" in done(report, 1)


def test_the_current_folder_is_never_loaded_by_itself(installed: Environment) -> None:
    write_check(installed.folder, "trap", "Not asked for")
    assert "redis.trap" not in done(installed.doctor("list"))


@pytest.mark.parametrize("text", ["def broken(:", "import nothing_of_that_name", "x = 1"])
def test_a_broken_check_is_one_clear_message(
    installed: Environment, tmp_path: Path, text: str
) -> None:
    path = write_check(tmp_path, "broken", "x") / "redis" / "broken.py"
    path.write_text(text)
    ended = installed.doctor("list", "--checks", tmp_path / "checks")
    assert done(ended, 3) == ""
    assert ended.stderr.startswith(f"backend-doctor: {path}: this check cannot be loaded: ")
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 2


def plugin(folder: Path, package: str) -> None:
    """Declares an entry point as an installed distribution does."""
    info = folder / "their_checks-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-checks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[backend_doctor.checks]\ntheirs = {package}\n")


def test_a_plugin_loads_as_ours(installed: Environment, tmp_path: Path) -> None:
    plugin(tmp_path, "their_checks.checks")
    write_check(tmp_path / "their_checks", "disk", "Their disk is full")
    (tmp_path / "their_checks" / "__init__.py").touch()
    path = {"PYTHONPATH": str(tmp_path)}
    listed = done(installed.doctor("list", **path))
    assert "redis.disk\n  Their disk is full." in listed
    assert done(installed.doctor("runbook", "redis.disk", **path)) == PAGE.format(name="disk")


@pytest.mark.parametrize("package", ["gone.checks", "gone", "json.decoder"])
def test_a_damaged_plugin_is_one_clear_message(
    installed: Environment, tmp_path: Path, package: str
) -> None:
    plugin(tmp_path, package)
    ended = installed.doctor("list", PYTHONPATH=str(tmp_path))
    assert done(ended, 3) == ""
    assert "entry point 'theirs'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_editable_install_sees_a_new_check(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    environment = Environment.make(tmp_path / "venv")
    environment.install("--editable", project)
    assert "redis.disk" not in done(environment.doctor("list"))
    write_check(project, "disk", "The disk is full")
    assert "redis.disk\n  The disk is full." in done(environment.doctor("list"))
    assert done(environment.doctor("runbook", "redis.disk")) == PAGE.format(name="disk")
