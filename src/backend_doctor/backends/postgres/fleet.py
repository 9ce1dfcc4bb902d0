"""How many connections the declared pools may ask of one server: arithmetic, no server asked."""

from dataclasses import dataclass

from backend_doctor.facts import Instance, Service


@dataclass(frozen=True)
class Fleet:
    """Declared demand in connections: ``own`` of this service, ``others`` of services that
    share the server. 0 where nothing is declared; ``own_pool`` is one process's pool."""

    own: int
    others: int
    own_pool: int
    text: str

    @property
    def demand(self) -> int:
        """All connections that could be asked for at once."""
        return self.own + self.others


def _pool(instance: Instance) -> int:
    size = instance.number("pool_size")
    # SQLAlchemy's -1: no limit on overflow, so the pool's size alone is sure to be asked for
    return 0 if size is None else size + max(0, instance.number("max_overflow") or 0)


def _claim(service: Service, instance: Instance) -> int:
    return service.replicas * service.workers * _pool(instance)


def fleet_of(service: Service, instance: Instance) -> Fleet:
    """replicas x workers x (pool_size + max_overflow), summed over all declared on the server."""

    def claims(owner: Service) -> list[tuple[str, int]]:
        return [
            (
                f"{owner.name} {owner.replicas} x {owner.workers} x {_pool(one)}",
                _claim(owner, one),
            )
            for one in owner.instances
            if (one.backend, one.host, one.port) == (instance.backend, instance.host, instance.port)
            and _pool(one)
        ]

    own = claims(service)
    others = [claim for neighbour in service.neighbours for claim in claims(neighbour)]
    terms = " + ".join(text for text, _ in (*own, *others))
    total_own, total_others = sum(n for _, n in own), sum(n for _, n in others)
    return Fleet(
        own=total_own,
        others=total_others,
        own_pool=_pool(instance),
        text=f"declared pools (replicas x workers x connections): {terms} = "
        f"{total_own + total_others}",
    )
