"""Idle clients of a leaking pool take nearly all that Redis allows."""

import asyncio
from collections.abc import Mapping

from redis.asyncio import Redis
from tests.scenarios.frame.fault import Placement, RedisFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import RedisPlace

ALLOWED = 20
IDLE = 18
TWIN_ALLOWED = 10000
TWIN_IDLE = 200


class RedisMaxclients(RedisFault):
    """18 idle clients of one name at maxclients 20 and two refused; the twin's 200 of 10000.

    With an odd seed all 20 stay taken, so the doctor is refused too; with an even one the last
    slot is free when it comes.
    """

    truth = "P12"
    background = 1

    def settings(self, version: int, twin: bool) -> Mapping[str, int]:
        return {"maxclients": TWIN_ALLOWED if twin else ALLOWED}

    def blind(self, place: RedisPlace) -> bool:
        return place.seed % 2 == 1

    async def inject(self, place: RedisPlace) -> None:
        await _take(place, IDLE)
        await _use(place)
        await place.oracle.facts()  # the oracle's own connection is the twentieth
        for _ in range(2):
            if not await place.refuses():
                raise RuntimeError("Redis let one in although all its clients are taken")

    async def inject_twin(self, place: RedisPlace) -> None:
        await _take(place, TWIN_IDLE)
        await _use(place)

    def missing(self, place: RedisPlace, facts: Facts, twin: bool) -> list[str]:
        idle, application = TWIN_IDLE if twin else IDLE, place.names.application
        refused = max(facts["rejected_connections"])
        taken = set(facts["login_refused"]) == {not twin and self.blind(place)}
        return unless(
            {
                "the last slot is free or taken as meant": taken,
                f"{idle} idle clients": set(facts["idle_clients"]) == {idle},
                "all of the application": set(facts["idle_names"]) == {application},
                "refusals are as they should be": refused == 0 if twin else int(refused) >= 2,
            }
        )


async def _take(place: RedisPlace, count: int) -> None:
    for _ in range(count):
        client: Redis = Redis.from_url(
            place.server.url(), client_name=place.names.application, single_connection_client=True
        )
        place.jobs.push_async_callback(client.aclose)
        await client.ping()


async def _use(place: RedisPlace) -> None:
    client: Redis = Redis.from_url(
        place.server.url(), client_name=place.names.other, single_connection_client=True
    )
    place.jobs.push_async_callback(client.aclose)
    await client.set("greeting", "hello")
    place.run(_read(client))


async def _read(client: Redis) -> None:
    while True:
        await client.get("greeting")
        await asyncio.sleep(0.05)


SCENARIO = Scenario("P12", (Placement(RedisMaxclients()),))
