"""Who is connected to the server by this machine's socket table: all that is left to see
when no client more is let in. Needs no login."""

from collections import Counter
from collections.abc import Sequence
from typing import Self

import msgspec

from backend_doctor.backends.machine import is_here
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Login, Problem


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Connections from one place. ``process`` and ``pid`` where they run here and may be seen."""

    connections: int
    host: str
    process: str = ""
    pid: int | None = None

    @property
    def text(self) -> str:
        """Who it is, for people."""
        if self.pid is None:
            return f"clients at {self.host}"
        return f"{self.process or 'a process'} (pid {self.pid})"


def _process_name(pid: int | None) -> str:
    import psutil

    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return ""


def _end(address: Sequence[str | int]) -> tuple[str, int]:
    # a server that listens on :: sees IPv4 clients as mapped addresses
    return str(address[0]).removeprefix("::ffff:"), int(address[1])


def _of_port(port: int) -> Counter[tuple[str, int | None]]:
    """Connections to a port of this machine by the client's address and process id."""
    import psutil

    pairs = [
        (_end(socket.laddr), _end(socket.raddr), socket.pid)
        for socket in psutil.net_connections("tcp")
        if socket.status == psutil.CONN_ESTABLISHED and socket.laddr and socket.raddr
    ]
    owners = {near: pid for near, far, pid in pairs if far[1] == port}
    return Counter((far[0], owners.get(far)) for near, far, _ in pairs if near[1] == port)


class SocketPeers(Fact, frozen=True):
    """Connections to the server's port, the largest group first."""

    peers: tuple[Peer, ...]

    @property
    def total(self) -> int:
        """All connections."""
        return sum(peer.connections for peer in self.peers)

    @classmethod
    async def collect(cls, instance: Instance, login: Login) -> Self:
        """Reads the socket table. Raises Absent when it is not needed, or not to be seen."""
        if login.problem is not Problem.FULL:
            raise Absent("the server did not refuse us", kind=AbsenceKind.NOT_APPLICABLE)
        if not is_here(instance.host):
            raise Absent("the server runs on another machine, so its sockets are out of sight")
        if instance.host.startswith("/"):
            raise Absent("the kernel does not tell who is at the other end of a unix socket")
        found = _of_port(instance.port)
        if not found:
            raise Absent("no socket of this server is to be seen (a container of its own?)")
        return cls(
            peers=tuple(
                Peer(connections=count, host=host, process=_process_name(pid), pid=pid)
                for (host, pid), count in found.most_common(1000)
            )
        )
