"""Who is behind a session: the process on this machine that its client's port belongs to."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Self

import msgspec

from backend_doctor.backends.machine import is_here
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Looks

# reading the socket table of a busy machine takes longer than all our statements together
_WORTH_A_LOOK = 0.7
_RELAYS = frozenset(
    {"pgbouncer", "odyssey", "pgcat", "haproxy", "envoy", "nginx", "docker-proxy", "socat", "ssh"}
)


class ClientProcess(msgspec.Struct, frozen=True, kw_only=True):
    """The client of the server's process ``pid``: a ``client_pid`` of this machine and its name.

    ``elsewhere`` is the place, other than this server, to which it has opened most
    ``connections``; "" and 0 where there is none.
    """

    pid: int
    client_pid: int
    name: str = ""
    elsewhere: str = ""
    connections: int = 0

    @property
    def who(self) -> str:
        """Which process it is, for people."""
        return f"{self.name or 'a process'} (pid {self.client_pid})"


class ClientProcesses(Fact, frozen=True):
    """The processes of this machine that hold sessions of the server."""

    clients: tuple[ClientProcess, ...]

    def owners(self, sessions: Iterable[Session]) -> list[tuple[ClientProcess, int]]:
        """The processes that hold these sessions, and how many each; [] unless all are known to
        work for themselves and not to pass on what others ask."""
        by_pid = {one.pid: one for one in self.clients}
        found = [by_pid.get(session.pid) for session in sessions]
        known = [one for one in found if one is not None and one.name not in _RELAYS]
        counts = Counter(one.client_pid for one in known)
        by_client = {one.client_pid: one for one in known}
        complete = len(known) == len(found)
        return [(by_client[pid], count) for pid, count in counts.items()] if complete else []

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
            msgspec.structs.replace(owners[key], pid=s.pid)
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


def _owners(port: int) -> dict[tuple[str, int], ClientProcess]:
    """By the near end of every connection to a port, the process that it belongs to."""
    import psutil

    sockets = psutil.net_connections("tcp")
    listening = {
        one.laddr.port for one in sockets if one.laddr and one.status == psutil.CONN_LISTEN
    }
    ends: dict[tuple[str, int], int] = {}
    elsewhere: dict[int, Counter[str]] = defaultdict(Counter)
    for one in sockets:
        if not (one.pid and one.laddr and one.raddr):
            continue
        if one.raddr.port == port:
            ends[one.laddr.ip.removeprefix("::ffff:"), one.laddr.port] = one.pid
        elif one.status == psutil.CONN_ESTABLISHED and one.laddr.port not in listening:
            elsewhere[one.pid][f"{one.raddr.ip.removeprefix('::ffff:')}:{one.raddr.port}"] += 1
    processes = {pid: _process(pid, elsewhere[pid]) for pid in set(ends.values())}
    return {end: processes[pid] for end, pid in ends.items()}


def _process(pid: int, elsewhere: Counter[str]) -> ClientProcess:
    ((place, connections),) = elsewhere.most_common(1) or [("", 0)]
    name = _process_name(pid)
    return ClientProcess(pid=0, client_pid=pid, name=name, elsewhere=place, connections=connections)


def _process_name(pid: int) -> str:
    import psutil

    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def holders_of(sessions: Iterable[Session], processes: ClientProcesses | None) -> str:
    """Whose the sessions are, the most first: "python (pid 7) 12, 10.0.0.9 3"."""
    names = {one.pid: one.who for one in processes.clients} if processes else {}
    counts = Counter(names.get(s.pid, s.client or "a unix socket") for s in sessions)
    return ", ".join(f"{who} {count}" for who, count in counts.most_common(4))
