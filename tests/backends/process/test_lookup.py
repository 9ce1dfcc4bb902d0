"""Processes are found from outside by what names them, and read as the kernel writes them."""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from tests.backends.process.looks import Spawn, examine, findings, idle, login

from backend_doctor.backends.process import procfs
from backend_doctor.backends.process.connection import connect
from backend_doctor.backends.process.lookup import LookupProblem, find, topmost
from backend_doctor.backends.process.samples import MemorySamples
from backend_doctor.demo.servers.process import free_port
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Instance, Login, Problem
from backend_doctor.model import Status


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
