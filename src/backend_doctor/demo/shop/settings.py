"""The shop's settings: a YAML file, and the environment above it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import yaml

APPLICATION = "shop"
FILE_VARIABLE = "SHOP_SETTINGS"
OVERRIDES = {
    "DATABASE_URL": ("database", "postgresql", "url"),
    "MONGODB_URL": ("database", "mongodb", "url"),
    "REDIS_URL": ("database", "redis", "url"),
    "AMQP_URL": ("rabbitmq", "url"),
    "SECRET_KEY": ("security", "secret_key"),
    "CORS_ORIGINS": ("cors", "allow_origins"),
}
"""Variable, and the setting that it stands above."""


@dataclass(frozen=True)
class Settings:
    """What the shop is told. Without ``amqp_url`` there is no broker, and events are not sent."""

    database_url: str
    pool: Mapping[str, Any]
    mongodb_url: str
    mongodb_pool: int
    redis_url: str
    redis_connections: int
    amqp_url: str
    exchange: str
    secret_key: str
    algorithm: str
    access_lifetime: timedelta
    refresh_lifetime: timedelta
    cors: Mapping[str, Any]

    @classmethod
    def from_environment(cls) -> Self:
        """Reads the file that the environment names; raises KeyError for what is missing."""
        tree = yaml.safe_load(Path(os.environ[FILE_VARIABLE]).read_text())
        return cls.from_tree(overridden(tree, os.environ))

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """What a tree of settings says."""
        postgresql = dict(tree["database"]["postgresql"])
        mongodb, redis = tree["database"]["mongodb"], tree["database"]["redis"]
        broker, security = tree["rabbitmq"], tree["security"]
        url: str = postgresql.pop("url")
        return cls(
            database_url=url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool=postgresql,
            mongodb_url=mongodb["url"],
            mongodb_pool=mongodb["max_pool_size"],
            redis_url=redis["url"],
            redis_connections=redis["max_connections"],
            amqp_url=broker["url"],
            exchange=broker["exchange"],
            secret_key=security["secret_key"],
            algorithm=security["algorithm"],
            access_lifetime=timedelta(minutes=security["access_token_expire_minutes"]),
            refresh_lifetime=timedelta(days=security["refresh_token_expire_days"]),
            cors=tree["cors"],
        )


def overridden(tree: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The tree with what the environment sets."""
    for name, path in OVERRIDES.items():
        if name in environ:
            given: Any = environ[name]
            value = given.split(",") if name == "CORS_ORIGINS" else given
            tree = changed(tree, _nested(path, value))
    return dict(tree)


def changed(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the tree with the changes, section by section."""
    result = dict(tree)
    for key, value in changes.items():
        result[key] = changed(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def _nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value if isinstance(value, dict) else {}
