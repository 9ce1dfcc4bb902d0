"""What a scenario is made of: faults, each with a twin that looks alike and is fine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace, RedisPlace

P = TypeVar("P", PostgresPlace, RedisPlace)


class Fault(ABC, Generic[P]):
    """One way for one server to be sick. ``truth`` is its entry in truth.yaml.

    ``background`` counts the connections of another application's healthy load.
    """

    kind: ClassVar[Literal["postgres", "redis"]]
    truth: ClassVar[str]
    background: ClassVar[int] = 2

    def settings(self, version: int, twin: bool) -> Mapping[str, int]:
        """The limits of the server."""
        return {}

    def declares(self, place: P, twin: bool) -> Mapping[str, int]:
        """What the service's configuration says: workers, pool_size, max_connections."""
        return {}

    def blind(self, place: P) -> bool:
        """Whether the server has no connection left for the doctor while the fault lasts."""
        return False

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
    """A fault of a PostgreSQL with 30 connections."""

    kind = "postgres"


class RedisFault(Fault[RedisPlace]):
    """A fault of a Redis."""

    kind = "redis"


@dataclass(frozen=True)
class Placement:
    """A fault in one of the run's services: 0 is the first, 1 another one."""

    fault: PostgresFault | RedisFault
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


def unless(reasons: Mapping[str, bool]) -> list[str]:
    """The names of the conditions that do not hold."""
    return [reason for reason, holds in reasons.items() if not holds]
