"""How many connections the declared pools may ask of one server: arithmetic, no server asked."""

from collections.abc import Iterator

import msgspec

from backend_doctor.facts import Instance, Service

# by kind of backend: what one process's pool may hold is the sum of these settings, and without
# the first of them nothing is declared
_SETTINGS = {
    "postgres": ("pool_size", "max_overflow"),
    "pgbouncer": ("pool_size", "max_overflow"),
    "redis": ("max_connections",),
    "mongodb": ("max_pool_size",),
}


class Fleet(msgspec.Struct, frozen=True):
    """Declared demand in connections: ``own`` of this service, ``others`` of services that
    share the server. 0 where nothing is declared; ``own_pool`` is one process's pool.

    ``terms`` spells the sum out: service, replicas x workers x connections.
    """

    own: int
    others: int
    own_pool: int
    terms: str

    @property
    def demand(self) -> int:
        """All connections that could be asked for at once."""
        return self.own + self.others

    @property
    def text(self) -> str:
        """The arithmetic in words."""
        return f"declared pools (replicas x workers x connections): {self.terms} = {self.demand}"


def _pool(instance: Instance) -> int:
    size, *more = (instance.number(key) for key in _SETTINGS.get(instance.backend, ("",)))
    # SQLAlchemy's -1: no limit on overflow, so the pool's size alone is sure to be asked for
    return 0 if size is None else max(0, size) + sum(max(0, number or 0) for number in more)


def _claims(owner: Service, instance: Instance) -> Iterator[tuple[str, int]]:
    for one in owner.instances:
        same = (one.backend, one.host, one.port) == (instance.backend, instance.host, instance.port)
        pool = _pool(one)
        if same and pool:
            text = f"{owner.name} {owner.replicas} x {owner.workers} x {pool}"
            yield text, owner.replicas * owner.workers * pool


def fleet_of(service: Service, instance: Instance) -> Fleet:
    """replicas x workers x connections of a pool, summed over all declared on the server.

    A pool's connections are pool_size + max_overflow (PostgreSQL, PgBouncer), max_connections
    (Redis) or max_pool_size (MongoDB).
    """
    own = list(_claims(service, instance))
    others = [claim for neighbour in service.neighbours for claim in _claims(neighbour, instance)]
    return Fleet(
        own=sum(number for _, number in own),
        others=sum(number for _, number in others),
        own_pool=_pool(instance),
        terms=" + ".join(text for text, _ in (*own, *others)),
    )
