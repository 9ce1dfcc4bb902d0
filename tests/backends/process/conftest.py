"""Python processes of a test's own, and a history that is nobody else's."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.backends.process.looks import Spawn


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "backend-doctor" / "history.sqlite3"


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts Python with a script that is ready once it has printed a line."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, *words: str, wait: bool = True) -> subprocess.Popen[bytes]:
        code = f"import time\n{script}" if wait else script
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        if wait:
            assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        with_group = os.getpgid(process.pid) if process.poll() is None else None
        if with_group is not None:
            os.killpg(with_group, signal.SIGKILL)
        process.wait(10)
