"""How many clients the server takes, and how many it has."""

from typing import Self

from backend_doctor.backends.redis.connection import RedisConnection
from backend_doctor.backends.redis.peers import SocketPeers
from backend_doctor.facts import AbsenceKind, Absent, Fact, Login, Problem


def _number(info: dict[str, str], key: str) -> int:
    value = info.get(key, "")
    return int(value) if value.isdecimal() else 0


class ClientLimits(Fact, frozen=True):
    """Clients against ``maxclients`` (None where the server does not tell it: before 6.2).

    ``used`` counts what the server counts, replicas and cluster links included, and leaves our
    own connection out. ``refused`` when the server had no room for us: then ``used`` was
    counted from the socket table, or is None. ``rejections`` and ``received`` count since the
    start, as do ``hits`` and ``misses``, lookups of keys that were there and were not, and the
    keys ``evicted`` for want of memory by the ``eviction_policy``. ``run_id`` tells one start
    from the next.
    """

    used: int | None
    maxclients: int | None = None
    rejections: int = 0
    received: int = 0
    blocked: int = 0
    uptime: int = 0
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    eviction_policy: str = ""
    run_id: str = ""
    refused: bool = False

    @property
    def share(self) -> float:
        """Used over maxclients; 1 when refused, 0 where the limit is not known."""
        if self.refused:
            return 1.0
        return (self.used or 0) / self.maxclients if self.maxclients else 0.0

    @property
    def epoch(self) -> str:
        """The server's start."""
        return self.run_id

    @property
    def text(self) -> str:
        """The state in words."""
        if self.refused:
            seen = "" if self.used is None else f", {self.used} connections to its port are open"
            return f"the server refuses new clients{seen}"
        limit = "an unknown number of" if self.maxclients is None else self.maxclients
        return f"{self.used} of {limit} clients are connected"

    @classmethod
    async def collect(
        cls, redis: RedisConnection | None, login: Login, peers: SocketPeers | None
    ) -> Self:
        """One INFO, or the socket table where we were refused.

        Raises Absent when the login failed for another reason, or INFO is not allowed.
        """
        if redis is None and login.problem is Problem.FULL:
            return cls(used=peers.total if peers else None, refused=True)
        if redis is None:
            raise Absent(f"no login to {login.address}", kind=AbsenceKind.LOGIN)
        info = await redis.info()
        used = sum(
            _number(info, key)
            for key in ("connected_clients", "connected_slaves", "cluster_connections")
        )
        return cls(
            used=max(0, used - 1),
            maxclients=_number(info, "maxclients") or None,
            rejections=_number(info, "rejected_connections"),
            received=_number(info, "total_connections_received"),
            blocked=_number(info, "blocked_clients"),
            uptime=_number(info, "uptime_in_seconds"),
            hits=_number(info, "keyspace_hits"),
            misses=_number(info, "keyspace_misses"),
            evicted=_number(info, "evicted_keys"),
            eviction_policy=info.get("maxmemory_policy", ""),
            run_id=info.get("run_id", ""),
        )
