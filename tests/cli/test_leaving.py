"""How a command ends: at once, with all that it printed, and quietly."""

import subprocess
import sys

import pytest
from tests.safety.tool import environment

_THREAD_THAT_HANGS = """
import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
"""
_LATE_SIGNAL = """
import atexit, os, signal
atexit.register(os.kill, os.getpid(), signal.SIGINT)
"""
_SIGNAL_WHILE_LEAVING = """
import os, signal, sys
class Stream:
    def __getattr__(self, name):
        return getattr(sys.__stdout__, name)
    def flush(self):
        sys.__stdout__.flush()
        if sys._getframe(1).f_code.co_name == "leave":
            os.kill(os.getpid(), signal.SIGINT)
sys.stdout = Stream()
"""


def ended(before: str) -> "subprocess.CompletedProcess[str]":
    """``list``, run after the code ``before``."""
    code = (
        f"{before}\nimport sys\nsys.argv[1:] = ['list']\nfrom backend_doctor.cli import run\nrun()"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env=environment(),
    )


@pytest.mark.parametrize("before", [_THREAD_THAT_HANGS, _LATE_SIGNAL])
def test_nothing_holds_up_the_end_or_spoils_it(before: str) -> None:
    run = ended(before)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
    assert run.stdout == ended("").stdout


def test_a_signal_at_the_very_end_costs_neither_output_nor_a_traceback() -> None:
    run = ended(_SIGNAL_WHILE_LEAVING)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == ended("").stdout
