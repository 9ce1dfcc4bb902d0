"""The shop's settings, read from its environment."""

import os
from dataclasses import dataclass
from typing import Self

APPLICATION = "shop"
POOL_SIZE = 4
MAX_OVERFLOW = 2
POOL_SECONDS = 1.5
"""How long a request waits for a connection before it fails."""
USABLE_SLOTS = 9
"""Connections that the demo's database has for ordinary roles."""
CACHE_SECONDS = 2
CACHE_CONNECTIONS = 6


@dataclass(frozen=True)
class Settings:
    """Where the shop's backends are."""

    database_url: str
    redis_url: str

    @classmethod
    def from_environment(cls) -> Self:
        """Reads DATABASE_URL and REDIS_URL; raises KeyError without them."""
        url = os.environ["DATABASE_URL"]
        return cls(
            database_url=url.replace("postgresql://", "postgresql+asyncpg://", 1),
            redis_url=os.environ["REDIS_URL"],
        )
