"""How many clients wait for a server connection, pool by pool."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.pgbouncer.connection import ConsoleConnection
from backend_doctor.backends.pgbouncer.rows import number, seconds
from backend_doctor.facts import Fact

CONSOLE = "pgbouncer"
SAMPLES = 3
_SECONDS_BETWEEN = 1.0


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One row of SHOW POOLS: clients and server connections of one database and user.

    ``max_wait`` is how long the first client in the queue has waited so far, in seconds.
    """

    database: str
    user: str
    clients: int = 0
    waiting: int = 0
    active: int = 0
    idle: int = 0
    login: int = 0
    max_wait: float = 0.0
    mode: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Database and user."""
        return (self.database, self.user)

    @property
    def servers(self) -> int:
        """Its connections to PostgreSQL, those that log in included."""
        return self.active + self.idle + self.login

    @property
    def text(self) -> str:
        """Its name for people."""
        return f"{self.database} of user {self.user}"


def _pool(row: Mapping[str, str]) -> Pool:
    return Pool(
        database=row.get("database", ""),
        user=row.get("user", ""),
        clients=number(row, "cl_active"),
        waiting=number(row, "cl_waiting"),
        active=number(row, "sv_active"),
        idle=sum(number(row, name) for name in ("sv_idle", "sv_used", "sv_tested")),
        login=number(row, "sv_login"),
        max_wait=round(seconds(row, "maxwait", "maxwait_us"), 6),
        mode=row.get("pool_mode", ""),
    )


class Queue(msgspec.Struct, frozen=True):
    """A pool whose clients waited in two samples at least, as it was when seen so last.

    ``waited`` of ``samples`` samples; ``max_wait`` is the longest wait in any of them.
    """

    pool: Pool
    waited: int
    samples: int
    max_wait: float

    @property
    def lasts(self) -> bool:
        """Whether clients waited in each sample."""
        return self.waited == self.samples


class Pools(Fact, frozen=True):
    """All pools but the console's own, in one to three samples, one second apart.

    More than one is taken only where clients wait: a queue that is there in one sample of
    three is the ordinary work of a pool.
    """

    seconds_limit: ClassVar[float] = 6.0
    samples: tuple[tuple[Pool, ...], ...]

    @property
    def last(self) -> tuple[Pool, ...]:
        """The pools as they were seen last."""
        return self.samples[-1] if self.samples else ()

    @property
    def waiting(self) -> int:
        """Clients that waited when seen last."""
        return sum(pool.waiting for pool in self.last)

    @property
    def queues(self) -> list[Queue]:
        """The pools with clients waiting in two samples at least, the longest wait first."""
        return sorted(_queues(self.samples), key=lambda queue: queue.max_wait, reverse=True)

    @classmethod
    async def collect(cls, console: ConsoleConnection) -> Self:
        """One SHOW POOLS; up to two more while it is open whether a queue lasts."""
        samples = [await _sample(console)]
        while len(samples) < SAMPLES and _undecided(samples):
            await asyncio.sleep(_SECONDS_BETWEEN)
            samples.append(await _sample(console))
        return cls(samples=tuple(samples))


async def _sample(console: ConsoleConnection) -> tuple[Pool, ...]:
    rows = map(_pool, await console.show("POOLS"))
    return tuple(pool for pool in rows if pool.database != CONSOLE)


def _undecided(samples: list[tuple[Pool, ...]]) -> bool:
    waiting = {pool.key for pools in samples for pool in pools if pool.waiting}
    return bool(waiting - {queue.pool.key for queue in _queues(samples)})


def _queues(samples: Iterable[tuple[Pool, ...]]) -> list[Queue]:
    taken = list(samples)
    by_key: dict[tuple[str, str], list[Pool]] = {}
    for pool in (pool for pools in taken for pool in pools if pool.waiting):
        by_key.setdefault(pool.key, []).append(pool)
    return [
        Queue(found[-1], len(found), len(taken), max(pool.max_wait for pool in found))
        for found in by_key.values()
        if len(found) >= 2
    ]
