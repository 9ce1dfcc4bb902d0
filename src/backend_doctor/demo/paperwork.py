"""The two files that belong to the shop: its own settings, and the doctor's configuration."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from backend_doctor.demo.furnishing import DOCTOR, SHOP, SIGNING
from backend_doctor.demo.shop.server import ShopServer
from backend_doctor.demo.shop.settings import changed
from backend_doctor.demo.ward import Ward

PAGE = "/products/7/popularity"
"""A page of the shop that everybody may see, as browsers ask for it from another origin."""
ORIGIN = "https://shop.example"

Tree = dict[str, Any]


def shop_settings(ward: Ward, passwords: Mapping[str, str], changes: Tree) -> Tree:
    """The sound settings with this run's addresses and secrets, and then the changes."""
    text = files("backend_doctor.demo.shop").joinpath("settings.yaml").read_text()
    secret = passwords[SHOP]
    broker = ward.rabbitmq.url(SHOP, secret) if ward.rabbitmq else ""
    addresses: Tree = {
        "database": {
            "postgresql": {"url": ward.postgres.url(SHOP, secret, "shop")},
            "mongodb": {"url": ward.mongodb.url(SHOP, secret)},
            "redis": {"url": ward.redis.admin_url()},
        },
        "rabbitmq": {"url": broker},
        "security": {"secret_key": passwords[SIGNING]},
    }
    return changed(changed(yaml.safe_load(text), addresses), changes)


def doctor_configuration(
    ward: Ward, passwords: Mapping[str, str], shops: list[ShopServer], token_file: str
) -> str:
    """What the doctor is told of the shop: its backends, and what browsers may do."""
    shop, password = shops[0], passwords[DOCTOR]
    database = shop.settings["database"]
    postgresql, mongodb, redis = (database[key] for key in ("postgresql", "mongodb", "redis"))
    service: Tree = {
        "workers": len(shops),
        "postgres": {
            "url": ward.postgres.url(DOCTOR, password, "shop"),
            "pool_size": postgresql["pool_size"],
            "max_overflow": postgresql["max_overflow"],
        },
        "mongodb": {
            "url": ward.mongodb.url(DOCTOR, password),
            "max_pool_size": mongodb["max_pool_size"],
        },
        "redis": {
            "url": ward.redis.url(DOCTOR, password),
            "max_connections": redis["max_connections"],
        },
        "http": {"url": shop.address, "health": "/healthz"},
        "cors": {
            "url": shop.address,
            "origins": [ORIGIN],
            "methods": ["GET", "POST"],
            "headers": ["authorization", "content-type"],
            "paths": [PAGE],
            "credentials": True,
            "refused": ["https://shop.example.invalid"],
        },
        "token": {"sample": {"file": token_file}, "hosts": [shop.address]},
        "process": {"port": shop.port},
        "settings": {"file": str(shop.settings_file), "env": "production"},
    }
    if ward.rabbitmq:
        service["rabbitmq"] = {"url": ward.rabbitmq.url(DOCTOR, password)}
    return yaml.safe_dump({"services": {"shop": service}}, sort_keys=False)
