"""Where a process stands, and what it may still take."""

import asyncio
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.backends.process.looks import MIB, Spawn, examine, findings, idle

from backend_doctor.backends.process import procfs
from backend_doctor.backends.process.connection import connect
from backend_doctor.backends.process.limits import cgroup_limits, machine
from backend_doctor.backends.process.stacks import Stacks, place_of, runs_loop, waits
from backend_doctor.endpoint import Endpoint
from backend_doctor.model import Status

BLOCKED = """
import asyncio
def render_report():
    time.sleep(0.3)
async def main():
    print("ready", flush=True)
    while True:
        render_report()
        await asyncio.sleep(0.001)
asyncio.run(main())
"""
WAITING = (
    "import asyncio\nasync def main():\n    print('ready', flush=True)\n"
    "    await asyncio.sleep(600)\nasyncio.run(main())"
)


class TestStacks:
    def collect(self, pid: int) -> Stacks:
        async def look() -> Stacks:
            _, process = await connect(
                Endpoint(kind="process", hosts=(), socket=f"pid {pid}"), limit=5
            )
            assert process is not None
            return await Stacks.collect(process)

        return asyncio.run(look())

    def test_what_blocks_the_loop_is_named(self, spawn: Spawn) -> None:
        (activity,) = self.collect(spawn(BLOCKED).pid).activities
        assert activity.loop
        assert activity.share >= 0.7
        assert activity.places[0][0].function == "render_report"

    def test_a_loop_that_waits_is_not_busy(self, spawn: Spawn) -> None:
        (activity,) = self.collect(spawn(WAITING).pid).activities
        assert (activity.loop, activity.busy) == (True, 0)

    def test_the_process_is_never_stopped(self, spawn: Spawn) -> None:
        pid = spawn(BLOCKED).pid
        states: set[str] = set()
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                states.add(procfs.read_stat(pid).state)
                time.sleep(0.0005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self.collect(pid)
        finally:
            done.set()
            watcher.join()
        assert states <= {"R", "S", "D"}, "T and t are stopped and traced"

    def test_what_is_no_python_is_said(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                stacks = self.collect(process.pid)
            finally:
                process.kill()
        assert stacks.activities == ()
        assert stacks.notes == (f"process {process.pid} does not run Python",)

    def test_uvloop_waits_in_the_runner(self) -> None:
        # as recorded: its selector is no Python frame
        runner = {"name": "Runner.run", "filename": "/usr/lib/python3.11/asyncio/runners.py"}
        main = {"name": "<module>", "filename": "/srv/shop/main.py", "line": 3}
        handler = {
            "name": "handle",
            "filename": "/srv/shop/api.py",
            "short_filename": "shop/api.py",
            "line": 7,
        }
        assert runs_loop([runner, main])
        assert waits([runner, main])
        assert not waits([handler, runner, main])
        assert str(place_of([handler, runner, main])) == "handle (shop/api.py:7)"

    def test_the_applications_own_frame_is_named_first(self) -> None:
        library = {"name": "wait", "filename": "/usr/lib/python3.11/threading.py", "line": 1}
        package = {"name": "get", "filename": "/v/lib/python3.11/site-packages/x/a.py", "line": 2}
        own = {"name": "orders", "filename": "/srv/shop/orders.py", "line": 3}
        assert place_of([library, package, own]).function == "orders"
        assert place_of([library, package]).function == "get"
        assert place_of([library]).function == "wait"
        assert place_of([]).function == "?"


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "status"), [(900, None), (330, Status.WARNING), (300, Status.CRITICAL)]
    )
    def test_the_address_space(self, spawn: Spawn, limit: int, status: Status | None) -> None:
        """The process makes itself 276 MiB large, then sets its limit."""
        child = spawn(
            idle(
                "import mmap, os, resource\n"
                "have = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
                f"keep = mmap.mmap(-1, 276 * {MIB} - have)\n"
                f"resource.setrlimit(resource.RLIMIT_AS, ({limit} * {MIB},) * 2)"
            )
        )
        report = examine(f"pid {child.pid}", sampling=0.5)
        near = [
            finding
            for finding in findings(report, "memory_growth", f"pid {child.pid}")
            if finding.cause and finding.evidence[0].source.endswith("Max address space")
        ]
        assert [finding.status for finding in near] == ([status] if status else [])
        assert all(f.cause and f.cause.label == "mem.near_limit" for f in near)

    def test_groups_of_version_2_and_all_above(self, tmp_path: Path) -> None:
        pod = tmp_path / "kubepods" / "pod1" / "app"
        pod.mkdir(parents=True)
        for folder, most, used in ((pod, "max", 300), (pod.parent, str(400 * MIB), 390)):
            (folder / "memory.max").write_text(f"{most}\n")
            (folder / "memory.current").write_text(f"{used * MIB}\n")
            (folder / "memory.stat").write_text(f"anon 5\ninactive_file {50 * MIB}\n")
        (found,) = cgroup_limits({"": "/kubepods/pod1/app"}, tmp_path)
        assert (found.limit, found.used) == (400 * MIB, 340 * MIB)
        assert found.source == str(pod.parent / "memory.max")

    def test_groups_of_version_1_beside_an_empty_version_2(self, tmp_path: Path) -> None:
        own = tmp_path / "memory" / "docker" / "abc"
        own.mkdir(parents=True)
        (tmp_path / "unified").mkdir()
        for folder, most in ((own, 100 * MIB), (own.parents[1], 9223372036854771712)):
            (folder / "memory.limit_in_bytes").write_text(f"{most}\n")
            (folder / "memory.usage_in_bytes").write_text(f"{90 * MIB}\n")
            (folder / "memory.stat").write_text(f"total_inactive_file {10 * MIB}\n")
        (found,) = cgroup_limits({"memory": "/docker/abc", "": "/", "cpu": "/x"}, tmp_path)
        assert found.share == pytest.approx(0.8)

    def test_a_path_of_another_namespace_means_the_mount(self, tmp_path: Path) -> None:
        (tmp_path / "memory.max").write_text("1000\n")
        (tmp_path / "memory.current").write_text("900\n")
        for path in ("/../../other", "/not/here"):
            (found,) = cgroup_limits({"": path}, tmp_path)
            assert (found.limit, found.used) == (1000, 900)

    def test_our_own_groups_can_be_read(self) -> None:
        for found in cgroup_limits(procfs.cgroup_paths(os.getpid())):
            assert 0 < found.used <= found.limit * 1.05

    def test_the_machine(self) -> None:
        text = (procfs.PROC / "meminfo").read_text()
        found = machine(text)
        assert found is not None
        assert found.limit == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert 0 < found.share < 1
        assert machine("Nothing: 0 kB") is None
