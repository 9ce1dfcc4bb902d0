"""Finding the process that is meant: a login's counterpart where one looks from outside."""

import asyncio
import os
import time

import msgspec

from backend_doctor.backends.process import procfs
from backend_doctor.backends.process.lookup import LookupProblem, find, workers_of
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Login, Problem
from backend_doctor.text import shorten, storable

MOST_WORKERS = 32


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One process. ``role`` is main, master or worker; ``started`` in ticks since boot."""

    pid: int
    role: str
    name: str
    user: str
    started: int

    @property
    def series(self) -> str:
        """Its name in the history: unique over restarts and reused pids."""
        return f"process/{procfs.boot_id()}/{self.pid}/{self.started}"


class ProcessConnection:
    """The process and its workers. ``statements`` counts the dumps of its stacks."""

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.members = members
        self.statements = 0

    @property
    def main(self) -> Member:
        """The one that was named."""
        return self.members[0]

    def is_closed(self) -> bool:
        """Whether the process has ended."""
        try:
            procfs.read(self.main.pid, self.main.started)
        except (procfs.GoneError, PermissionError):
            return True
        return False

    async def close(self) -> None:
        """Nothing is held open."""

    def abort(self) -> None:
        """Nothing is held open."""


def member(pid: int, role: str) -> Member:
    """Raises GoneError."""
    found = procfs.read_stat(pid)
    user = procfs.user_name(procfs.user_of(pid))
    return Member(pid=pid, role=role, name=storable(found.name), user=user, started=found.started)


def open_process(words: str) -> ProcessConnection:
    """The process that is meant, and its workers. Raises LookupProblem."""
    if not (procfs.PROC / "self" / "stat").exists():
        raise LookupProblem(Problem.OTHER, "this system has no /proc to read processes from")
    pid = find(words)
    try:
        workers = workers_of(pid)
        main = member(pid, "master" if workers else "main")
        procfs.read(pid, main.started)
    except procfs.GoneError as gone:
        raise LookupProblem(Problem.REFUSED, str(gone)) from None
    except PermissionError:
        raise LookupProblem(Problem.RIGHTS, f"process {pid} is hidden from this user") from None
    members = [main]
    for worker in workers[:MOST_WORKERS]:
        try:
            members.append(member(worker, "worker"))
        except (procfs.GoneError, PermissionError):
            continue
    return ProcessConnection(tuple(members))


def _notes(process: ProcessConnection) -> tuple[str, ...]:
    own = procfs.user_name(os.geteuid())
    if process.main.user == own or os.geteuid() == 0:
        return ()
    return (
        f"process {process.main.pid} is of user {process.main.user}: its memory is seen, its open "
        f"files and stacks are not; run this as {process.main.user} or root",
    )


def _server(process: ProcessConnection) -> str:
    count = len(process.members) - 1
    workers = f" with {count} worker{'s' if count > 1 else ''}" if count else ""
    return f"{process.main.name}, pid {process.main.pid}{workers}"


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, ProcessConnection | None]:
    """Looks for the process; one that is gone is REFUSED, one that we may not see RIGHTS."""
    begun = time.monotonic()
    login = Login(problem=Problem.NONE, address=endpoint.address, limit=limit)
    try:
        process = await asyncio.to_thread(open_process, endpoint.host)
    except LookupProblem as problem:
        return msgspec.structs.replace(
            login,
            problem=problem.problem,
            message=storable(shorten(str(problem), 300)),
            seconds=round(time.monotonic() - begun, 4),
        ), None
    return msgspec.structs.replace(
        login,
        server=_server(process),
        notes=_notes(process),
        seconds=round(time.monotonic() - begun, 4),
    ), process
