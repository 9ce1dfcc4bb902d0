"""Configuration as facts."""

from pathlib import Path

import msgspec

from backend_doctor.config.facts import declare
from backend_doctor.config.load import load
from backend_doctor.facts import Service

FILE = """\
services:
  shop:
    replicas: 2
    workers: 3
    postgres: {url: "postgresql://app:c4n4ry@db/shop", pool_size: 5}
    redis: redis://:c4n4ry@cache
  billing:
    workers: 4
    postgres: postgresql://billing@DB:5432/billing
    redis: redis://elsewhere
  mail:
    postgres: postgresql://mail@db:5433/mail
"""


def test_services_and_their_neighbours(bare: Path) -> None:
    (bare / "backend-doctor.yaml").write_text(FILE)
    shop = declare(load(targets=["shop"]))["shop"]
    postgres = shop.instances[0]
    assert (shop.replicas, shop.workers, len(shop.instances)) == (2, 3, 2)
    assert (postgres.key, postgres.address) == (("shop", "postgres", "postgres"), "db:5432/shop")
    assert (postgres.database, postgres.user, postgres.number("pool_size")) == ("shop", "app", 5)
    (billing,) = shop.neighbours
    assert (billing.name, billing.workers) == ("billing", 4)
    assert [one.address for one in billing.instances] == ["db:5432/billing"]


def test_facts_hold_no_secret_and_survive_json(bare: Path) -> None:
    (bare / "backend-doctor.yaml").write_text(FILE)
    facts = declare(load())
    encoded = msgspec.json.encode(facts)
    assert b"c4n4ry" not in encoded
    assert msgspec.json.decode(encoded, type=dict[str, Service]) == facts
