"""The server's processes by their titles: what is left to see when no slot is free for us.

Needs no connection and no rights: titles and the socket table are readable by everyone on
the server's own machine (PostgreSQL 28.1, update_process_title).
"""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Self

import msgspec

from backend_doctor.backends.machine import is_here
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Login, Problem

_TITLE = (
    r"^postgres: (?:.*: )?(?P<user>\S+) (?P<database>\S+) "
    r"(?P<client>\[local\]|[0-9a-fA-F.:%]+)(?:\((?P<port>\d+)\))? (?P<activity>\S.*)$"
)


class ServerProcess(msgspec.Struct, frozen=True, kw_only=True):
    """One client's server process. ``activity`` as in its title ("idle in transaction").

    ``age`` and ``cpu`` in seconds; ``started`` seconds since 1970, which with the pid tells
    processes apart.
    """

    pid: int
    parent: int
    user: str
    database: str
    client: str
    port: int | None
    activity: str
    started: float
    age: float
    cpu: float

    def same_stay(self, other: "ServerProcess") -> bool:
        """Whether the other look saw it in the same activity, without work in between."""
        mine = (self.pid, self.started, self.activity, self.cpu)
        return mine == (other.pid, other.started, other.activity, other.cpu)


def parse_title(title: str) -> dict[str, str | int | None] | None:
    """user, database, client, port and activity of a client's server process, else None."""
    match = re.match(_TITLE, title.rstrip())
    if match is None:
        return None
    port = match["port"]
    return {**match.groupdict(), "port": int(port) if port else None}


def _processes() -> Iterator[ServerProcess]:
    import psutil

    now = time.time()
    names = ["pid", "ppid", "cmdline", "create_time", "cpu_times"]
    for process in psutil.process_iter(names):
        found = process.info
        fields = parse_title(" ".join(found["cmdline"] or ()))
        if fields is not None:
            cpu = found["cpu_times"]
            yield ServerProcess(
                **fields,  # type: ignore[arg-type]
                pid=found["pid"],
                parent=found["ppid"],
                started=found["create_time"],
                age=max(0.0, now - found["create_time"]),
                cpu=cpu.user + cpu.system if cpu else 0.0,
            )


def _peers(port: int) -> Iterator[int]:
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.raddr and connection.laddr and connection.laddr.port == port:
            yield connection.raddr.port


class ServerProcesses(Fact, frozen=True):
    """The client processes of one server on this machine, seen from outside."""

    processes: tuple[ServerProcess, ...]

    @classmethod
    async def collect(cls, instance: Instance, login: Login) -> Self:
        """Reads the process list. Raises Absent when it is not needed, or not to be seen."""
        if login.problem is not Problem.FULL:
            raise Absent("the server let us in", kind=AbsenceKind.NOT_APPLICABLE)
        if not await asyncio.to_thread(is_here, instance.host):
            raise Absent("the server runs on another machine, so its processes are out of sight")
        everything = list(_processes())
        ports = set(_peers(instance.port))
        # a socket peer of this port marks its postmaster; that one's other children count too
        parents = {process.parent for process in everything if process.port in ports}
        if not parents and len({process.parent for process in everything}) == 1:
            parents = {process.parent for process in everything}
        mine = tuple(process for process in everything if process.parent in parents)
        if not mine:
            raise Absent("no process of this server is to be seen (a container of its own?)")
        return cls(processes=mine)
