"""Processes looked at from outside: real ones, in which something grows, blocks or ends."""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_doctor.backends.process import procfs
from backend_doctor.backends.process.connection import connect
from backend_doctor.backends.process.limits import cgroup_limits, machine
from backend_doctor.backends.process.lookup import LookupProblem, find, topmost
from backend_doctor.backends.process.samples import MemorySamples
from backend_doctor.backends.process.stacks import Stacks, place_of, runs_loop, waits
from backend_doctor.deadlines import Timing
from backend_doctor.demo.servers.process import free_port
from backend_doctor.endpoint import Endpoint
from backend_doctor.engine import Engine, Examinee
from backend_doctor.facts import Instance, Login, Problem, Service
from backend_doctor.history import History
from backend_doctor.judge import Limits, judge
from backend_doctor.model import Finding, Report, Status
from backend_doctor.registry import load_checks

MIB = 2**20
Spawn = Callable[..., subprocess.Popen[bytes]]
FOREVER = "time.sleep(600)"


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


def idle(words: str = "") -> str:
    return f"{words}\nprint('ready', flush=True)\n{FOREVER}"


def login(words: str) -> Login:
    return asyncio.run(connect(Endpoint(kind="process", hosts=(), socket=words), limit=5))[0]


def examine(*places: str, sampling: float = 1.0, limits: Limits | None = None) -> Report:
    """What the checks say of each place, which is its instance's name too."""
    checks = list(load_checks(plugins=False, backends=["process"]).values())
    instances = [
        Instance(
            service="shop",
            backend="process",
            name=words,
            address=words,
            host=words,
            port=0,
            settings={"sampling": sampling},
        )
        for words in places
    ]
    engine = Engine(checks, Timing(deadline=sampling + 30))
    snapshot = asyncio.run(
        engine.gather(
            [Service(name="shop", instances=tuple(instances))],
            [
                Examinee(one, Endpoint(kind="process", hosts=(), socket=one.name))
                for one in instances
            ],
        )
    )
    return judge(snapshot, checks, limits)


def findings(report: Report, check: str, place: str) -> list[Finding]:
    return [
        result.finding
        for result in report.results
        if result.check == f"process.{check}" and result.instance == place
    ]


class TestLookup:
    def test_by_each_way(self, spawn: Spawn, tmp_path: Path) -> None:
        port, mark = free_port(), f"mark-{random.randrange(10**9)}"
        child = spawn(idle(f"import socket\ns = socket.create_server(('127.0.0.1', {port}))"), mark)
        file = tmp_path / "app.pid"
        file.write_text(f"{child.pid}\n")
        for words in (f"pid {child.pid}", f"pidfile {file}", f"port {port}", f"cmdline {mark}$"):
            assert find(words) == child.pid, words
            assert login(words).ok

    def test_by_unit(self, spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
        child = spawn(idle())
        real = procfs.cgroup_paths

        def paths(pid: int) -> dict[str, str]:
            if pid == child.pid:
                return {"": "/system.slice/shop.service/workers"}
            return real(pid)

        monkeypatch.setattr(procfs, "cgroup_paths", paths)
        assert find("unit shop") == find("unit shop.service") == child.pid
        with pytest.raises(LookupProblem, match=r"no process in the unit shop2\.service"):
            find("unit shop2")

    def test_what_is_gone_is_refused(self, spawn: Spawn, tmp_path: Path) -> None:
        child = spawn("print('ready', flush=True)")
        child.wait(10)
        stale, empty = tmp_path / "stale.pid", tmp_path / "empty.pid"
        stale.write_text(str(child.pid))
        empty.write_text("")
        for words, problem, said in (
            (f"pid {child.pid}", Problem.REFUSED, f"no process has the pid {child.pid}"),
            (f"pidfile {stale}", Problem.REFUSED, "is stale"),
            (f"pidfile {tmp_path}/none", Problem.REFUSED, "No such file"),
            (f"pidfile {empty}", Problem.OTHER, "does not begin with a process id"),
            (f"port {free_port()}", Problem.REFUSED, "no process listening on port"),
            ("cmdline no-such-thing-anywhere", Problem.REFUSED, "no process with a command line"),
            ("cmdline (", Problem.OTHER, "is wrong"),
            ("port http", Problem.OTHER, "is not a port"),
            ("name x", Problem.OTHER, "expected one of"),
        ):
            found = login(words)
            assert (found.problem, said in found.message) == (problem, True), found

    def test_several_matches_are_named_and_not_guessed(self, spawn: Spawn) -> None:
        mark = f"mark-{random.randrange(10**9)}"
        children = [spawn(idle(), mark) for _ in range(2)]
        found = login(f"cmdline {mark}")
        assert found.problem is Problem.OTHER
        assert "2 unrelated processes" in found.message
        assert all(str(child.pid) in found.message for child in children)

    def test_a_parent_stands_for_its_children(self) -> None:
        assert topmost([5, 3, 4], {5: 4, 4: 3, 3: 1, 1: 0}) == [3]
        assert topmost([5, 7], {5: 4, 7: 4}) == [5, 7]
        assert topmost([5], {5: 5}) == [5]

    def test_another_users_process_is_told(self, spawn: Spawn) -> None:
        child = spawn(idle()) if os.geteuid() == 0 else None
        found, samples = as_nobody(f"pid {child.pid if child else 1}")
        assert found.ok
        assert "is of user root" in found.notes[0]
        assert samples.series[0].samples[-1].rss > 0
        assert samples.series[0].samples[-1].files is None

    def test_another_users_port_is_a_matter_of_rights(self, spawn: Spawn) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root to have two users")
        port = free_port()
        spawn(idle(f"import socket\ns = socket.create_server(('127.0.0.1', {port}))"))
        found, _ = as_nobody(f"port {port}", sample=False)
        assert found.problem is Problem.RIGHTS
        assert "another user" in found.message


def as_nobody(words: str, sample: bool = True) -> tuple[Login, Any]:
    """What an ordinary user sees: the login and the samples."""

    async def look() -> tuple[Login, Any]:
        found, process = await connect(Endpoint(kind="process", hosts=(), socket=words), limit=5)
        place = Instance(
            service="s",
            backend="process",
            name="p",
            address="",
            host="",
            port=0,
            settings={"sampling": 0.2},
        )
        if process is None or not sample:
            return found, None
        return found, await MemorySamples.collect(process, place)

    def work() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        here.send(asyncio.run(look()))

    # what is imported on first use may lie where that user cannot read
    asyncio.run(look())
    fork = multiprocessing.get_context("fork")
    there, here = fork.Pipe()
    process = fork.Process(target=work)
    process.start()
    try:
        ready = multiprocessing.connection.wait([there, process.sentinel], 20)
        assert there in ready, "no answer"
        found: tuple[Login, Any] = there.recv()
        return found
    finally:
        process.join(5)
        process.kill()


APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
"""


def test_workers_are_found_and_trackers_are_none(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "shopapp.py").write_text(APP)
    port = free_port()
    script = (
        "import sys, uvicorn\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "if __name__ == '__main__':\n"
        f"    uvicorn.run('shopapp:app', app_dir={str(tmp_path)!r}, port={port}, workers=2,\n"
        "                log_level='error')\n"
    )
    master = spawn(script, wait=False)
    end = time.monotonic() + 20
    while len(children := workers(port)) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    report = examine(f"port {port}")
    assert len(children) == 2
    assert report.targets[0].server.endswith(f", pid {master.pid} with 2 workers")
    assert report.status is Status.OK
    (memory,) = findings(report, "memory_growth", f"port {port}")
    assert "of 3 processes" in memory.summary
    assert not [e for e in memory.evidence if e.key == "dumps_busy"], "idle loops wait"


def workers(port: int) -> list[int]:
    from backend_doctor.backends.process.lookup import workers_of

    try:
        return workers_of(find(f"port {port}"))
    except LookupProblem:
        return []


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


@pytest.mark.parametrize(
    ("line", "name", "started"),
    [
        ("7 (a) b) c) S 1 7 7 0 -1 0 0 0 0 0 100 50 0 0 20 0 1 0 99 0 0", "a) b) c", 99),
        ("7 (x) R 1 " + " ".join("0" for _ in range(30)), "x", 0),
    ],
)
def test_names_may_hold_brackets(line: str, name: str, started: int) -> None:
    found = procfs.parse_stat(line)
    assert (found.name, found.started) == (name, started)


@pytest.mark.parametrize("line", ["", "7 (x", "7 (x) R 1 2"])
def test_a_cut_line_is_an_error(line: str) -> None:
    with pytest.raises(ValueError):
        procfs.parse_stat(line)
