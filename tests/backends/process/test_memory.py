"""Memory that grows, looked at shortly or with what is known from before."""

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.backends.process.looks import Spawn, examine, findings, idle

from backend_doctor.backends.process import procfs
from backend_doctor.history import History
from backend_doctor.model import Status

# make memory looks for longer; in either time the cache below is filling for most of it
LOOK_SECONDS = float(os.environ.get("MEMORY_SECONDS") or 8)
GROWING = {
    "dict": "keep = {}\ndef work(i): keep[i] = 'x' * 40_000 + str(i)",
    "listeners": "keep = []\ndef work(i):\n    data = bytearray(40_000)\n"
    "    keep.append(lambda: data)",
    "ctypes": "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.malloc.restype = ctypes.c_void_p\n"
    "def work(i): ctypes.memset(ctypes.c_void_p(libc.malloc(40_000)), 1, 40_000)",
    "lru cache": "import functools\n"
    f"kept = functools.lru_cache(maxsize={LOOK_SECONDS * 40:.0f})(\n"
    "    lambda i: bytearray(40_000))\ndef work(i): kept(i)",
    "steady": "def work(i): bytearray(40_000)",
}


@pytest.mark.timeout(LOOK_SECONDS + 60)
def test_a_short_look_names_no_cause_and_alarms_nobody(spawn: Spawn) -> None:
    names = list(GROWING)
    random.shuffle(names)
    loop = "\nprint('ready', flush=True)\nfor i in range(10**6):\n    work(i); time.sleep(0.02)"
    places = {name: f"pid {spawn(GROWING[name] + loop).pid}" for name in names}
    report = examine(*places.values(), sampling=LOOK_SECONDS)
    for name, place in places.items():
        (memory,) = findings(report, "memory_growth", place)
        (files,) = findings(report, "open_files", place)
        for finding in (memory, files):
            assert finding.status is Status.OK, name
            assert finding.cause is None, name
        if name in ("dict", "listeners", "ctypes"):
            assert "too short to tell" in memory.summary, (name, memory.summary)
            assert any("--for 10m" in note for note in memory.notes)
        if name == "steady":
            assert "steady" in memory.summary
    assert report.status is Status.OK


class TestHistory:
    def seed(self, pid: int, minutes: float, **per_minute: float) -> None:
        """Samples of an earlier run, each value rising by so much a minute."""
        stat = procfs.read_stat(pid)
        series = f"process/{procfs.boot_id()}/{pid}/{stat.started}"
        now, base = time.time(), procfs.read(pid, stat.started)

        def at(seconds: float) -> dict[str, Any]:
            grown = {key: rate * (seconds - minutes * 60) / 60 for key, rate in per_minute.items()}
            return {
                "rss": int(base.rss + grown.get("memory", 0)),
                "anonymous": int((base.anonymous or base.rss) + grown.get("memory", 0)),
                "virtual": base.virtual,
                "threads": base.threads,
                "files": int((base.files or 0) + grown.get("files", 0)),
                "cpu": max(0.0, base.cpu + (seconds - minutes * 60) * 0.001),
            }

        count = int(minutes * 6)
        History().add(series, [(now - minutes * 60 + i * 10, at(i * 10.0)) for i in range(count)])

    def test_a_file_leak_over_earlier_runs_is_named(self, spawn: Spawn) -> None:
        child = spawn(idle("keep = [open('/dev/null') for _ in range(400)]"))
        self.seed(child.pid, 20, files=15)
        place = f"pid {child.pid}"
        (young,) = findings(examine(place), "open_files", place)
        assert (young.status, young.cause) == (Status.OK, None), "seconds old: too short to tell"
        assert "too short to tell" in young.notes[0]
        sooner = {"process.open_files": {"likely_after": 1.0}}
        (found,) = findings(examine(place, limits=sooner), "open_files", place)
        assert found.status is Status.WARNING
        assert found.cause is not None
        assert found.cause.label == "fd.leak"
        assert found.evidence[1].value == pytest.approx(15, rel=0.1)

    def test_earlier_runs_are_joined(self, spawn: Spawn, state: Path) -> None:
        place = f"pid {spawn(idle()).pid}"
        examine(place, sampling=2.5)
        assert state.stat().st_mode & 0o777 == 0o600
        first = len(History().read(series_of(place)))
        examine(place, sampling=2.5)
        assert len(History().read(series_of(place))) > first > 0

    def test_a_damaged_file_is_a_note(self, spawn: Spawn, state: Path) -> None:
        state.parent.mkdir(parents=True)
        state.write_bytes(b"no database" * 1000)
        place = f"pid {spawn(idle()).pid}"
        (found,) = findings(examine(place), "memory_growth", place)
        assert found.status is Status.OK
        assert any(str(state) in note and "Delete that file" in note for note in found.notes)


def series_of(place: str) -> str:
    pid = int(place.removeprefix("pid "))
    return f"process/{procfs.boot_id()}/{pid}/{procfs.read_stat(pid).started}"


def test_a_process_that_ends_meanwhile_is_told(spawn: Spawn) -> None:
    child = spawn("print('ready', flush=True)\ntime.sleep(1.0)")
    threading.Timer(1.2, child.wait).start()
    place = f"pid {child.pid}"
    (found,) = findings(examine(place, sampling=4.0), "memory_growth", place)
    assert any("ended meanwhile" in note for note in found.notes)
