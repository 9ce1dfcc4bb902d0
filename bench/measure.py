"""What running a command costs on this side: wall time and CPU, children included, and memory."""

import contextlib
import os
import pty
import re
import resource
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE = 120.0
SCREEN = (60, 200)


@dataclass(frozen=True)
class Usage:
    """Seconds of wall and CPU time, and all that was printed."""

    wall: float
    cpu: float
    code: int
    output: str


@dataclass(frozen=True)
class Command:
    """What to run. With ``keys`` it has a terminal, where someone types them: seconds, a key."""

    words: Sequence[str]
    environ: Mapping[str, str]
    keys: Sequence[tuple[float, str]] = ()


def _read(descriptor: int, into: list[bytes]) -> None:
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            return
        if not piece:
            return
        into.append(piece)


def _type(descriptor: int, keys: Sequence[tuple[float, str]]) -> None:
    for seconds, key in keys:
        time.sleep(seconds)
        os.write(descriptor, key.encode())


def _terminal() -> tuple[int, int]:
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, SCREEN)
    return reading, writing


def peak_mib(command: Command) -> float:
    """The peak of the largest process in a run of its own: looking for it takes a fourth of a
    CPU, and would be timed too. Raises TimeoutError after two minutes."""
    peaks: list[_Peak] = []

    def watch(pid: int) -> _Peak:
        peaks.append(_Peak(pid))
        return peaks[0]

    run(command, watch)
    return peaks[0].kib / 1024


def run(command: Command, watch: Callable[[int], threading.Thread] | None = None) -> Usage:
    """Runs a command to its end, beside a thread that ``watch`` makes for its process.

    Raises TimeoutError after two minutes.
    """
    reading, writing = _terminal() if command.keys else os.pipe()
    pieces: list[bytes] = []
    reader = threading.Thread(target=_read, args=(reading, pieces))
    typist = threading.Thread(target=_type, args=(reading, command.keys))
    began = time.monotonic()
    process = subprocess.Popen(
        command.words,
        stdin=writing if command.keys else subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", **command.environ},
        start_new_session=True,
    )
    os.close(writing)
    helpers = [typist] + ([watch(process.pid)] if watch else [])
    for helper in (reader, *helpers):
        helper.start()
    status, usage = _wait(process)
    wall = time.monotonic() - began
    for helper in helpers:
        helper.join()
    reader.join(2)
    os.close(reading)
    return Usage(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        code=os.waitstatus_to_exitcode(status),
        output=b"".join(pieces).decode(errors="replace"),
    )


class _Peak(threading.Thread):
    """The largest peak of a process and its children, while they live.

    Not ru_maxrss: that counts what the child shared with us before it became the command.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid, self.kib = pid, 0

    def run(self) -> None:
        with contextlib.suppress(psutil.Error):
            whole = psutil.Process(self._pid)
            while whole.status() != psutil.STATUS_ZOMBIE:
                self.kib = max(self.kib, *map(_peak_kib, (whole, *whole.children(recursive=True))))
                time.sleep(0.01)


def _peak_kib(process: psutil.Process) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _wait(process: "subprocess.Popen[bytes]") -> tuple[int, resource.struct_rusage]:
    late = threading.Event()

    def end() -> None:
        late.set()
        whole = psutil.Process(process.pid)
        for one in (*whole.children(recursive=True), whole):
            one.terminate()

    limit = threading.Timer(PATIENCE, end)
    limit.start()
    # wait4 tells the usage of this child and of all that it has waited for
    _, status, usage = os.wait4(process.pid, 0)
    limit.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if late.is_set():
        raise TimeoutError(f"{process.args!r} did not end within {PATIENCE:g} s")
    return status, usage
