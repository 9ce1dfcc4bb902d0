"""Declared pools of every kind, added up."""

import pytest

from backend_doctor import Instance, Service, fleet_of


def one(backend: str, host: str = "db", **settings: int) -> Instance:
    return Instance(
        service="shop",
        backend=backend,
        name=backend,
        address=host,
        host=host,
        port=1,
        settings=dict(settings),
    )


@pytest.mark.parametrize(
    ("instance", "pool"),
    [
        (one("postgres", pool_size=5, max_overflow=10), 15),
        (one("postgres", pool_size=5, max_overflow=-1), 5),
        (one("postgres", max_overflow=10), 0),
        (one("pgbouncer", pool_size=4), 4),
        (one("redis", max_connections=8), 8),
        (one("mongodb", max_pool_size=50), 50),
        (one("rabbitmq", pool_size=5), 0),
    ],
)
def test_one_pool_of_each_kind(instance: Instance, pool: int) -> None:
    fleet = fleet_of(Service(name="shop", replicas=2, workers=3, instances=(instance,)), instance)
    assert (fleet.own_pool, fleet.own, fleet.demand) == (pool, 6 * pool, 6 * pool)
    assert fleet.terms == (f"shop 2 x 3 x {pool}" if pool else "")


def test_neighbours_count_where_they_share_the_server() -> None:
    here, elsewhere = one("redis", max_connections=8), one("redis", "other", max_connections=9)
    billing = Service(name="billing", replicas=2, instances=(here, elsewhere))
    fleet = fleet_of(Service(name="shop", instances=(here,), neighbours=(billing,)), here)
    assert (fleet.own, fleet.others, fleet.demand) == (8, 16, 24)
    assert fleet.text.endswith("shop 1 x 1 x 8 + billing 2 x 1 x 8 = 24")
