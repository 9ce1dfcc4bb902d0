"""What a scenario is made of: faults, each with a twin that looks alike and is fine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace, Place, PostgresPlace, RedisPlace

P = TypeVar("P", bound=Place)
Kind = Literal["postgres", "pgbouncer", "redis", "http", "cors", "token", "process"]


class Fault(ABC, Generic[P]):
    """One way for one part of a service to be sick. ``truth`` is its entry in truth.yaml.

    ``kind`` is the backend that the cause must be found at, ``background`` counts the
    connections of another application's healthy load; ``sample_for`` is how many seconds
    processes are sampled, 0 for as long as the window. ``options`` are further ones of the
    doctor's command line, ``limits`` those of its checks that the configuration sets.
    """

    kind: ClassVar[Kind]
    truth: ClassVar[str]
    background: ClassVar[int] = 2
    sample_for: ClassVar[float] = 0.0
    options: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[Mapping[str, Mapping[str, float]]] = {}

    def settings(self, version: int, twin: bool) -> Mapping[str, int | str]:
        """The limits of the server."""
        return {}

    def declares(self, place: P, twin: bool) -> Mapping[str, Any]:
        """What the service's configuration says: workers, pool_size, max_connections, role."""
        return {}

    def blind(self, place: P) -> bool:
        """Whether the server has no connection left for the doctor while the fault lasts."""
        return False

    def entries(self, place: P, twin: bool) -> Mapping[str, Any]:
        """What the configuration says of the service beside its server, by kind of backend."""
        return {}

    async def look(self, place: P, twin: bool) -> Facts:
        """What the fault's own client sees beside the server's oracle."""
        return {}

    @abstractmethod
    async def inject(self, place: P) -> None:
        """Makes the server sick; what must end is left with ``place.jobs``."""

    @abstractmethod
    async def inject_twin(self, place: P) -> None:
        """Makes it look so, and fine."""

    @abstractmethod
    def missing(self, place: P, facts: Facts, twin: bool) -> list[str]:
        """What the oracle does not see although it should; nothing when the fault took."""


class PostgresFault(Fault[PostgresPlace]):
    """A fault of a PostgreSQL with 30 connections.

    ``grants`` are options of the command that prints the doctor's rights; ``remote`` when the
    doctor's way to the server is not the machine's loopback address, ``hidden`` where the
    configuration does not name the server.
    """

    kind: ClassVar[Kind] = "postgres"
    grants: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[bool] = False
    remote: ClassVar[bool] = False


class RedisFault(Fault[RedisPlace]):
    """A fault of a Redis."""

    kind = "redis"


class OwnFault(Fault[OwnPlace]):
    """A fault that needs no server: of an application's own process, or of a file."""

    background = 0


@dataclass(frozen=True)
class Placement:
    """A fault in one of the run's services: 0 is the first, 1 another one."""

    fault: PostgresFault | RedisFault | OwnFault
    service: int = 0


@dataclass(frozen=True)
class Scenario:
    """A row of the benchmark: all its faults at once.

    ``has_twin`` unless the twins of other scenarios serve; ``names_of`` is the id of a scenario
    that it shares all names with.
    """

    id: str
    placements: tuple[Placement, ...]
    has_twin: bool = True
    names_of: str = ""

    @property
    def sample_for(self) -> float:
        """Seconds for which processes are sampled, 0 for as long as the window."""
        return max(placement.fault.sample_for for placement in self.placements)

    @property
    def options(self) -> tuple[str, ...]:
        """Further options of the doctor's command line."""
        return tuple(word for placement in self.placements for word in placement.fault.options)

    @property
    def limits(self) -> Mapping[str, Mapping[str, float]]:
        """The limits of checks that the doctor's configuration sets, by check."""
        return {
            check: limits
            for placement in self.placements
            for check, limits in placement.fault.limits.items()
        }


def unless(reasons: Mapping[str, bool]) -> list[str]:
    """The names of the conditions that do not hold."""
    return [reason for reason, holds in reasons.items() if not holds]
