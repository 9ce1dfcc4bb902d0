"""Which process is meant: by pid, pid file, listening port, command line or systemd unit."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from backend_doctor.backends.process import procfs
from backend_doctor.facts import Problem

_TRACKERS = re.compile(r"multiprocessing\.(resource_tracker|semaphore_tracker|forkserver)\b")
_SHOWN = 5


class LookupProblem(Exception):  # noqa: N818 - it is an answer, not an error
    """No process, or not one alone; ``problem`` is in the words of a login."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def topmost(pids: Iterable[int], parents: Mapping[int, int]) -> list[int]:
    """Those that descend from none of the others."""
    wanted = set(pids)

    def below(pid: int) -> bool:
        seen = {pid}
        while (pid := parents.get(pid, 0)) and pid not in seen:
            if pid in wanted:
                return True
            seen.add(pid)
        return False

    return sorted(pid for pid in wanted if not below(pid))


def _parents() -> dict[int, int]:
    return {p.pid: p.info["ppid"] or 0 for p in psutil.process_iter(["ppid"])}


def _one(pids: Iterable[int], what: str) -> int:
    tops = topmost(pids, _parents())
    if len(tops) == 1:
        return tops[0]
    if not tops:
        raise LookupProblem(Problem.REFUSED, f"no process {what}")
    named = ", ".join(str(pid) for pid in tops[:_SHOWN])
    more = f" and {len(tops) - _SHOWN} more" if len(tops) > _SHOWN else ""
    raise LookupProblem(
        Problem.OTHER,
        f"{len(tops)} unrelated processes {what}: {named}{more}; name one by pid or pidfile",
    )


def by_pid(text: str) -> int:
    """The process of that number. Every function here raises LookupProblem."""
    if not text.isdigit():
        raise LookupProblem(Problem.OTHER, f"{text!r} is not a process id")
    pid = int(text)
    try:
        state = procfs.read_stat(pid).state
    except procfs.GoneError:
        raise LookupProblem(Problem.REFUSED, f"no process has the pid {pid}") from None
    except PermissionError:
        raise LookupProblem(Problem.RIGHTS, f"process {pid} is hidden from this user") from None
    if state in "ZX":
        raise LookupProblem(Problem.REFUSED, f"process {pid} has ended (a zombie)")
    return pid


def by_pidfile(text: str) -> int:
    """The process that a pid file names."""
    try:
        content = Path(text).read_text(encoding="ascii", errors="replace").strip()
    except PermissionError:
        raise LookupProblem(Problem.RIGHTS, f"{text} may not be read by this user") from None
    except OSError as error:
        raise LookupProblem(Problem.REFUSED, f"{text}: {error.strerror}") from None
    first = content.split()[0] if content else ""
    if not first.isdigit():
        raise LookupProblem(Problem.OTHER, f"{text} does not begin with a process id")
    try:
        return by_pid(first)
    except LookupProblem as gone:
        raise LookupProblem(gone.problem, f"{text} is stale: {gone}") from None


def by_port(text: str) -> int:
    """The process that listens on a TCP port."""
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise LookupProblem(Problem.OTHER, f"{text!r} is not a port")
    inodes = {inode for inode, port in procfs.listening().items() if port == int(text)}
    # psutil's list names one process for each socket, and workers share one
    holders = [pid for pid in psutil.pids() if inodes & procfs.sockets_of(pid)] if inodes else []
    if inodes and not holders:
        raise LookupProblem(
            Problem.RIGHTS,
            f"a process of another user listens on port {text}, and only that user and root may "
            "see which; run this as one of them",
        )
    return _one(holders, f"listening on port {text} of this machine")


def by_cmdline(text: str) -> int:
    """The process whose command line matches a pattern, we and our parents left out."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise LookupProblem(Problem.OTHER, f"the pattern {text!r} is wrong: {error}") from None
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in own and pattern.search(" ".join(process.info["cmdline"] or ()))
    ]
    return _one(found, f"with a command line that fits {text!r}")


def by_unit(text: str) -> int:
    """The main process of a systemd unit, told by its control group."""
    unit = text if "." in text else f"{text}.service"
    found = [
        process.pid
        for process in psutil.process_iter([])
        if any(unit in path.split("/") for path in procfs.cgroup_paths(process.pid).values())
    ]
    return _one(found, f"in the unit {unit}")


WAYS = {
    "pid": by_pid,
    "pidfile": by_pidfile,
    "port": by_port,
    "cmdline": by_cmdline,
    "unit": by_unit,
}
"""How a process may be named, by the word in the configuration."""


def find(words: str) -> int:
    """The pid that is meant by such as ``port 8000`` or ``cmdline uvicorn shop``."""
    way, _, value = words.partition(" ")
    if way not in WAYS or not value:
        expected = ", ".join(WAYS)
        raise LookupProblem(Problem.OTHER, f"{words!r}: expected one of {expected} and a value")
    return WAYS[way](value)


def _program(process: psutil.Process) -> str:
    try:
        return process.exe()
    except psutil.AccessDenied:
        return process.name()


def workers_of(pid: int) -> list[int]:
    """The descendants that serve: they listen as it does, or run the same program.

    Helpers of multiprocessing (resource trackers) are none.
    """
    try:
        root = psutil.Process(pid)
        children = root.children(recursive=True)
    except psutil.Error:
        return []
    candidates = []
    for child in children:
        try:
            if not _TRACKERS.search(" ".join(child.cmdline())):
                candidates.append(child)
        except psutil.Error:
            continue
    listening = procfs.listening(pid).keys()
    serving = [child.pid for child in candidates if listening & procfs.sockets_of(child.pid)]
    if serving or listening & procfs.sockets_of(pid):
        return sorted(serving)
    try:
        program = _program(root)
        return sorted(child.pid for child in candidates if _program(child) == program)
    except psutil.Error:
        return []
