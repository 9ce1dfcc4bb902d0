"""How many connections the server takes, and how many it has."""

from typing import Self

from backend_doctor.backends.mongodb.connection import OWN_CONNECTIONS, MongoConnection
from backend_doctor.facts import AbsenceKind, Absent, Fact, Login, Problem

# sections of serverStatus that are large and say nothing of connections
_LEFT_OUT = dict.fromkeys(
    ("locks", "metrics", "opLatencies", "repl", "tcmalloc", "transactions", "wiredTiger"), 0
)


class MongoConnections(Fact, frozen=True):
    """Connections against the most that the server takes (``maxIncomingConnections``).

    ``used`` leaves our own out; ``active`` are those with a command under way, ours included.
    ``created`` and ``rejected`` count since the start; the latter is told by 6.3 and later.
    ``refused`` when the server had no room for us; then nothing else is known.
    """

    used: int | None
    most: int | None = None
    active: int = 0
    created: int = 0
    rejected: int = 0
    uptime: int = 0
    refused: bool = False

    @property
    def share(self) -> float:
        """Used over the most; 1 when refused."""
        if self.refused:
            return 1.0
        return (self.used or 0) / self.most if self.most else 0.0

    @property
    def text(self) -> str:
        """The state in words."""
        if self.refused:
            return "the server refuses new connections"
        return f"{self.used} of {self.most} connections are taken"

    @classmethod
    async def collect(cls, mongo: MongoConnection | None, login: Login) -> Self:
        """One serverStatus without its large sections.

        Raises Absent when the login failed for another reason than fullness, or without the
        right.
        """
        if mongo is None and login.problem is Problem.FULL:
            return cls(used=None, refused=True)
        if mongo is None:
            raise Absent(f"no login to {login.address}", kind=AbsenceKind.LOGIN)
        status = await mongo.command("serverStatus", **_LEFT_OUT)
        found = status["connections"]
        current, available = int(found["current"]), int(found["available"])
        return cls(
            used=max(0, current - OWN_CONNECTIONS),
            # available is negative when the server keeps room for administrators beyond its limit
            most=current + available,
            active=int(found.get("active", 0)),
            created=int(found.get("totalCreated", 0)),
            rejected=int(found.get("rejected", 0)),
            uptime=int(status.get("uptime", 0)),
        )
