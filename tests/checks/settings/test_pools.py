"""settings.pools: facts in, findings out."""

import pytest
from tests.checks.settings.examining import REFERENCE, Examining, causes, healthy

from backend_doctor import Confidence, Instance, Service, Status, Subject
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.redis.limits import ClientLimits

OVER, UNBOUNDED = "fleet.oversubscribed", "pool.unbounded"


def instance(backend: str, name: str, host: str = "db") -> Instance:
    return Instance(
        service="shop", backend=backend, name=name, address=f"{host}:1", host=host, port=1
    )


SHOP = Service(
    name="shop",
    replicas=2,
    instances=(instance("postgres", "postgres"), instance("redis", "redis")),
)


def stores(postgresql: str = "", redis: str = "", mongodb: str = "", workers: int = 4) -> str:
    return (
        f"server: {{workers: {workers}}}\ndatabase:\n  postgresql: {{{postgresql}}}\n"
        f"  redis: {{{redis}}}\n  mongodb: {{{mongodb}}}\n"
    )


def test_the_sum_against_the_server_itself(judged: Examining) -> None:
    text = stores("pool_size: 5, max_overflow: 5")
    found = judged(text, service=SHOP, slots=Slots(used=3, max_connections=50))
    assert causes(found) == {OVER: Status.WARNING}
    (finding,) = found
    assert finding.evidence[0].value == 2 * 4 * 10
    assert "settings.yaml:3" in finding.evidence[0].text
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY
    assert "<= 6" in finding.remedies[0].command
    assert Subject(kind="login", value="db:1") in finding.subjects
    assert [subject.kind for subject in finding.subjects] == ["service", "login"]
    room = Slots(used=3, max_connections=83, superuser_reserved=3)
    assert healthy(judged(text, service=SHOP, slots=room))


def test_without_the_server_its_default_counts(judged: Examining) -> None:
    text = stores("pool_size: 20, max_overflow: 30")
    (finding,) = judged(text, service=SHOP)
    assert finding.cause is not None
    assert (finding.cause.label, finding.cause.confidence) == (OVER, Confidence.POSSIBLE)
    assert healthy(judged(stores("pool_size: 5, max_overflow: 5"), service=SHOP))
    noted = judged(text, service=SHOP, environ={"APP_ENV": "development"})
    assert healthy(noted)
    assert "400 connections" in noted[0].notes[0]


def test_development_against_a_server_that_was_seen(judged: Examining) -> None:
    text = stores("pool_size: 20, max_overflow: 30")
    slots = Slots(used=3, max_connections=100)
    found = judged(text, service=SHOP, slots=slots, environ={"APP_ENV": "development"})
    assert causes(found) == {OVER: Status.WARNING}


def test_several_stores(judged: Examining) -> None:
    text = stores("pool_size: 1, max_overflow: 0", "max_connections: 10", "max_pool_size: 50")
    clients = ClientLimits(used=1, maxclients=20)
    (finding,) = judged(text, service=SHOP, clients=clients)
    assert "Redis" in finding.summary
    assert finding.evidence[0].value == 80
    found = judged(text, service=SHOP, clients=ClientLimits(used=1, maxclients=100))
    assert healthy(found)
    assert {one.name: one.value for one in found[0].measures} == {
        "declared_postgresql": 8,
        "declared_redis": 80,
        "declared_mongodb": 400,
    }


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (stores("pool_size: 5, max_overflow: -1"), "max_overflow"),
        (stores("pool_size: 0"), "pool_size"),
        (stores(mongodb="max_pool_size: 0"), "max_pool_size"),
    ],
)
def test_no_bound(judged: Examining, text: str, key: str) -> None:
    (finding,) = judged(text)
    assert causes([finding]) == {UNBOUNDED: Status.WARNING}
    assert finding.evidence[0].key.endswith(key)
    assert healthy(judged(text, environ={"APP_ENV": "development"}))


def test_the_server_is_the_one_that_the_url_names(judged: Examining) -> None:
    twins = (instance("postgres", "postgres"), instance("postgres", "replica", "other"))
    service = Service(name="shop", instances=twins)
    slots = Slots(used=1, max_connections=10)
    text = stores("url: 'postgresql://u:p@db/d', pool_size: 5, max_overflow: 0")
    assert causes(judged(text, service=service, slots=slots)) == {OVER: Status.WARNING}
    elsewhere = text.replace("@db/", "@other/")
    assert healthy(judged(elsewhere, service=service, slots=slots))


def test_a_small_cache_pool_is_noted(judged: Examining) -> None:
    (finding,) = judged(stores("pool_size: 5, max_overflow: 5", "max_connections: 3"))
    assert finding.status is Status.OK
    assert "BlockingConnectionPool" in finding.notes[0]


def test_the_reference(judged: Examining) -> None:
    found = judged(REFERENCE.read_text(), environ={"APP_ENV": "production"})
    assert causes(found) == {OVER: Status.WARNING}
    assert found[0].evidence[0].value == 4 * 50


def test_nothing_stated(judged: Examining) -> None:
    (finding,) = judged("app: {}\n")
    assert finding.status is Status.SKIPPED
