"""What the kernel tells of one process in /proc; every file that is read here costs it nothing."""

import os
import pwd
import time
from functools import cache
from pathlib import Path

import msgspec

PROC = Path("/proc")
# TCP_LISTEN of the kernel's include/net/tcp_states.h
_LISTEN = "0A"
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class GoneError(Exception):
    """The process has ended."""


class Stat(msgspec.Struct, frozen=True):
    """``started`` in clock ticks since boot, which with the pid tells processes apart.

    ``cpu`` is seconds of processor time so far, ``state`` the kernel's letter (T is stopped).
    """

    name: str
    state: str
    parent: int
    started: int
    cpu: float


class Reading(msgspec.Struct, frozen=True):
    """Bytes, counts and seconds of processor time; None is what the kernel does not show us."""

    rss: int
    anonymous: int | None
    virtual: int
    threads: int
    files: int | None
    cpu: float


def parse_stat(text: str) -> Stat:
    """The line of /proc/PID/stat. The name may hold blanks and brackets. Raises ValueError."""
    head, bracket, tail = text.rpartition(")")
    fields = tail.split()
    if not bracket or len(fields) < 20:
        raise ValueError("not a line of /proc/PID/stat")
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    return Stat(head.partition("(")[2], fields[0], int(fields[1]), int(fields[19]), cpu)


def parse_status(text: str) -> dict[str, str]:
    """The fields of /proc/PID/status."""
    lines = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, colon, value in lines if colon}


def _bytes(fields: dict[str, str], key: str) -> int | None:
    number = fields.get(key, "").partition(" ")[0]
    return int(number) * 1024 if number.isdigit() else None


def _text(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise GoneError(f"process {pid} has ended") from error


def read_stat(pid: int) -> Stat:
    """Raises GoneError, and PermissionError where /proc is hidden from us."""
    return parse_stat(_text(pid, "stat"))


def user_of(pid: int) -> int:
    """The effective user id. Raises GoneError."""
    return int(parse_status(_text(pid, "status"))["Uid"].split()[1])


def user_name(uid: int) -> str:
    """The user's name, or its number in words."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def read(pid: int, started: int) -> Reading:
    """One look. Raises GoneError, also where the pid now is another process's."""
    found = read_stat(pid)
    if found.started != started or found.state in "ZX":
        raise GoneError(f"process {pid} has ended")
    fields = parse_status(_text(pid, "status"))
    files: int | None = None
    try:
        files = sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
    except PermissionError:
        files = None
    except OSError as error:
        raise GoneError(f"process {pid} has ended") from error
    return Reading(
        rss=_bytes(fields, "VmRSS") or 0,
        anonymous=_bytes(fields, "RssAnon"),
        virtual=_bytes(fields, "VmSize") or 0,
        threads=int(fields.get("Threads", "1")),
        files=files,
        cpu=found.cpu,
    )


def listening(pid: int | str = "self") -> dict[int, int]:
    """Inode to port of each listening TCP socket in a process's network namespace."""
    found: dict[int, int] = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / str(pid) / "net" / name).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for fields in map(str.split, lines[1:]):
            if len(fields) > 9 and fields[3] == _LISTEN:
                found[int(fields[9])] = int(fields[1].rpartition(":")[2], 16)
    return found


def sockets_of(pid: int) -> set[int]:
    """The inodes of a process's sockets; none where they may not be seen."""
    found = set()
    try:
        for link in (PROC / str(pid) / "fd").iterdir():
            target = str(link.readlink())
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except OSError:
        return found
    return found


def soft_limit(pid: int, name: str) -> int | None:
    """A soft limit of /proc/PID/limits, such as ``Max open files``; None is without limit."""
    try:
        lines = _text(pid, "limits").splitlines()
    except (GoneError, PermissionError):
        return None
    for line in lines:
        if line.startswith(name):
            value = line.removeprefix(name).split()[0]
            return int(value) if value.isdigit() else None
    return None


def cgroup_paths(pid: int) -> dict[str, str]:
    """Controller ("" is version 2, else such as "memory") to the group's path."""
    try:
        lines = _text(pid, "cgroup").splitlines()
    except (GoneError, PermissionError):
        return {}
    paths: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


@cache
def boot_id() -> str:
    """What changes with every start of the machine."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def uptime() -> float:
    """Seconds since the machine's start, on the clock that processes' starts are counted by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds_of(ticks: int) -> float:
    """Clock ticks in seconds."""
    return ticks / _TICKS
