"""Who is behind a session: the process on this machine that its client's port belongs to."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

import msgspec
import psutil

from backend_doctor.backends.machine import is_here
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Looks

# reading the socket table of a busy machine takes longer than all our statements together
_WORTH_A_LOOK = 0.7


class ClientProcess(msgspec.Struct, frozen=True, kw_only=True):
    """The client of the server's process ``pid``: a ``client_pid`` of this machine and its name."""

    pid: int
    client_pid: int
    name: str = ""


class ClientProcesses(Fact, frozen=True):
    """The processes of this machine that hold sessions of the server."""

    clients: tuple[ClientProcess, ...]

    @property
    def names(self) -> dict[int, str]:
        """By the server's pid, who holds the session, for people."""
        return {
            one.pid: f"{one.name or 'a process'} (pid {one.client_pid})" for one in self.clients
        }

    @classmethod
    async def collect(cls, instance: Instance, slots: Slots, sessions: Looks[Sessions]) -> Self:
        """Reads this machine's socket table, and only where somebody will ask who it was.

        Raises Absent elsewhere, and where none of the clients runs here.
        """
        stuck = _unmoved(sessions)
        if slots.share < _WORTH_A_LOOK and not stuck:
            raise Absent("nobody holds what others need", kind=AbsenceKind.NOT_APPLICABLE)
        if not await asyncio.to_thread(is_here, instance.host):
            raise Absent(
                "the server runs on another machine, where its clients' sockets are seen",
                kind=AbsenceKind.NOT_APPLICABLE,
            )
        owners = await asyncio.to_thread(_owners, instance.port)
        found = [
            ClientProcess(pid=s.pid, client_pid=owners[key][0], name=owners[key][1])
            for s in sessions.last.clients
            if (key := (s.client, s.port or 0)) in owners
        ]
        if not found:
            raise Absent("no client's socket is to be seen here", kind=AbsenceKind.NOT_APPLICABLE)
        return cls(clients=tuple(found))


def _unmoved(sessions: Looks[Sessions]) -> list[Session]:
    """Those that stayed idle, or idle in one transaction, from look to look."""
    earlier = sessions.first.by_pid()
    return [
        s
        for s in sessions.last.clients
        if s.state.startswith("idle in transaction")
        and s.pid in earlier
        and s.same_stay(earlier[s.pid])
    ]


def _owners(port: int) -> dict[tuple[str, int], tuple[int, str]]:
    """By the near end of every connection to a port, the process that it belongs to."""
    names: dict[int, str] = {}
    owners = {}
    for one in psutil.net_connections("tcp"):
        if one.pid and one.laddr and one.raddr and one.raddr.port == port:
            if one.pid not in names:
                names[one.pid] = _process_name(one.pid)
            near = one.laddr.ip.removeprefix("::ffff:")
            owners[near, one.laddr.port] = (one.pid, names[one.pid])
    return owners


def _process_name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def holders_of(sessions: Iterable[Session], *known: Mapping[int, str] | None) -> str:
    """Whose the sessions are, the most first: "python (pid 7) 12, 10.0.0.9 3"; "" if unknown.

    ``known`` maps the server's pids to clients: local processes, and those that a pooler has
    linked to its server connections (its SHOW SERVERS: remote_pid and link, SHOW CLIENTS: addr
    and port). The first that knows a session names it, else its own address does.
    """
    counts: Counter[str] = Counter()
    for session in sessions:
        told = (names[session.pid] for names in known if names and session.pid in names)
        counts[next(told, session.client or "a unix socket")] += 1
    return ", ".join(f"{who} {count}" for who, count in counts.most_common(4))
