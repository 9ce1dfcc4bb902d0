"""A command loads what it needs: told by the list of modules, not by the clock."""

import json
import subprocess
import sys

import pytest

_PROBE = """
import json, os, sys
from backend_doctor.cli import run
os._exit = sys.exit
sys.argv = ["backend-doctor", *sys.argv[1:]]
try:
    run()
except SystemExit as ending:
    code = ending.code
print(file=sys.stderr)
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
NOWHERE = "127.0.0.1:1"
# what costs much at every start, and who would bring it back: a dataclass (the classes of values
# are msgspec.Structs), entry points read where nobody declares plugins, a process list, a median,
# a configuration file where a URL is given, the reading of plans where nothing was planned
COSTLY = {
    "dataclasses",
    "importlib.metadata",
    "email",
    "psutil",
    "statistics",
    "difflib",
    "yaml",
    "backend_doctor.config.schema",
    "backend_doctor.config.appsettings",
    "backend_doctor.config.environment",
    "backend_doctor.backends.postgres.plans.planner",
    "backend_doctor.backends.postgres.plans.slow_findings",
    "backend_doctor.backends.cors.fetch",
}


def loaded(*arguments: str, code: int = 0) -> set[str]:
    """The modules that a run of the command line leaves loaded, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ended, modules = json.loads(run.stderr.splitlines()[-1])
    assert ended == code, run.stderr
    return set(modules)


def foreign(modules: set[str]) -> set[str]:
    """The packages among them that are neither ours nor the standard library's."""
    packages = {name.partition(".")[0] for name in modules}
    ours = {"backend_doctor", "backend_doctor_checks"}
    known = {*sys.stdlib_module_names, *ours, "sitecustomize"}
    return {name for name in packages - known if not name.startswith("_")}


@pytest.mark.parametrize("argument", ["--version", "--help", "-V", "-h"])
def test_version_and_help_load_click_alone(argument: str) -> None:
    modules = loaded(argument)
    assert foreign(modules) == {"click"}
    ours = {name for name in modules if name.startswith("backend_doctor")}
    assert ours == {
        "backend_doctor",
        "backend_doctor.cli",
        "backend_doctor.cli.leaving",
        "backend_doctor.errors",
    }


def test_a_command_that_does_not_exist_loads_click_alone() -> None:
    assert foreign(loaded("chekc", code=3)) == {"click"}


def test_list_adds_no_driver() -> None:
    modules = foreign(loaded("list"))
    assert {"click", "msgspec"} <= modules
    assert modules <= {"click", "msgspec", "typing_extensions", "psutil"}


@pytest.mark.parametrize(
    ("url", "driver", "others"),
    [
        (f"postgresql://doctor@{NOWHERE}/shop", "asyncpg", {"redis", "rich"}),
        (f"redis://{NOWHERE}/0", "redis", {"asyncpg", "psycopg", "rich"}),
        (f"postgresql://doctor@{NOWHERE}/pgbouncer", "psycopg", {"asyncpg", "redis", "rich"}),
        (f"mongodb://{NOWHERE}/shop", "motor", {"asyncpg", "redis", "aio_pika", "httpx", "rich"}),
        (f"amqp://{NOWHERE}/", "aio_pika", {"asyncpg", "redis", "pymongo", "httpx", "rich"}),
    ],
)
@pytest.mark.parametrize("output", [["--format", "nagios"], ["--format", "json"], ["-q"]])
def test_a_check_loads_the_driver_of_its_kind_alone(
    url: str, driver: str, others: set[str], output: list[str]
) -> None:
    modules = foreign(loaded("check", url, *output, code=2))
    assert driver in modules
    assert not modules & others
    assert "prometheus_client" not in modules


def test_a_check_of_postgresql_loads_nothing_costly_that_it_does_not_use() -> None:
    url = f"postgresql://doctor@{NOWHERE}/shop"
    assert not loaded("check", url, "--window", "0", code=2) & COSTLY
