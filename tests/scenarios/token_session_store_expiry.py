"""Sessions in Redis are gone while their tokens are valid."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from tests.conftest import REDIS
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.tokens import TokenFault

from backend_doctor.demo.servers import RedisServer

LIVES = 900
SHORT = 300
USERS = 60
PAGE = "x" * 8000
PATTERN = "session:*"


class TokenSessionStoreExpiry(TokenFault):
    """Sessions are kept for a third of the token's lifetime, or (variant 1) for all of it in a
    Redis that a cache keeps full. The twin keeps them, and its cache is bounded; in all of them
    users log out, which deletes their key, and others log in."""

    truth = "T09"

    def claims(self, place: OwnPlace, now: float, twin: bool) -> Mapping[str, Any]:
        return {"iat": int(now), "exp": int(now) + LIVES}

    def policy(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"session_keys": PATTERN}

    def entries(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {**super().entries(place, twin), "redis": _url(place)}

    async def inject(self, place: OwnPlace) -> None:
        await super().inject(place)
        await _serve(place, twin=False)

    async def inject_twin(self, place: OwnPlace) -> None:
        await super().inject_twin(place)
        await _serve(place, twin=True)

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        async with Redis.from_url(_url(place)) as client:
            names = await client.keys(PATTERN)
            longest = max([await client.pttl(name) / 1000 for name in names])
            policy = (await client.info("memory"))["maxmemory_policy"]
            evicted = (await client.info("stats"))["evicted_keys"]
        return {
            **await super().look(place, twin),
            "session_keys": [len(names)],
            "session_loss": [policy if place.variant else longest],
            "longest": [longest],
            "evicted": [evicted],
        }

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        short = max(facts["longest"]) < 0.5 * min(facts["exp_ahead"])
        return unless(
            {
                "sessions end early, or not": short is not (twin or place.variant == 1),
                "evicted, or not": (max(facts["evicted"]) > 0) is (not twin and place.variant == 1),
                "enough sessions": min(facts["session_keys"]) >= USERS // 2,
            }
        )


def _url(place: OwnPlace) -> str:
    return (place.folder / "redis").read_text()


async def _serve(place: OwnPlace, *, twin: bool) -> None:
    """A Redis of 8 MB (the twin's: 64) with sessions, and the traffic on it."""
    kind = ("redis", "valkey")[place.seed % 2]
    memory = {"maxmemory": "64mb" if twin else "8mb", "maxmemory-policy": "allkeys-random"}
    server = RedisServer(REDIS[kind](), settings=memory if place.variant else {})
    place.jobs.push_async_callback(asyncio.to_thread, server.stop)
    await asyncio.to_thread(server.start)
    (place.folder / "redis").write_text(server.url())
    client: Redis = Redis.from_url(server.url(), client_name=place.names.application)
    place.jobs.push_async_callback(client.aclose)
    lasts = LIVES if twin or place.variant else SHORT
    for user in range(USERS):
        await client.set(_key(user), place.names.other, ex=place.random.randint(30, lasts))
    place.run(_log_in_and_out(place, client, lasts))
    if place.variant:
        place.run(_cache(client, 500 if twin else 1_000_000))


def _key(user: int) -> str:
    return f"session:{user}"


async def _log_in_and_out(place: OwnPlace, client: Redis, lasts: int) -> None:
    """One user leaves and comes back, and so does everyone whose session is gone."""
    while True:
        await client.delete(_key(place.random.randrange(USERS)))
        there = await client.mget([_key(user) for user in range(USERS)])
        for user, session in enumerate(there):
            if session is None:
                await client.set(_key(user), place.names.other, ex=lasts)
        await asyncio.sleep(0.1)


async def _cache(client: Redis, pages: int) -> None:
    number = 0
    while True:
        async with client.pipeline(transaction=False) as many:
            for _ in range(25):
                number = (number + 1) % pages
                many.set(f"page:{number}", PAGE)
            await many.execute()
        await asyncio.sleep(0.05)


SCENARIO = Scenario("T09", (Placement(TokenSessionStoreExpiry()),))
