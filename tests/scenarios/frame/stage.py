"""Plays one row: healthy servers, the fault or its twin, the doctor's run, the undoing."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.conftest import POSTGRES, REDIS
from tests.scenarios.frame.doctor import DoctorError, Said, examine
from tests.scenarios.frame.fault import OwnFault, Placement, PostgresFault, Scenario
from tests.scenarios.frame.names import Names, draw_names
from tests.scenarios.frame.oracle import Facts, PostgresOracle, RedisOracle
from tests.scenarios.frame.place import OwnPlace, PostgresPlace, RedisPlace
from tests.scenarios.frame.watch import OwnWatch, PostgresWatch, RedisWatch, Watch

from backend_doctor.demo.servers import PostgresServer, RedisServer

PATIENCE = 20.0
SETTLE = 1.2


@dataclass(frozen=True)
class Part:
    """One row to play: a scenario or its twin, on a version of PostgreSQL (15 or 18)."""

    scenario: Scenario
    twin: bool
    seed: int
    version: int

    def names(self) -> Names:
        """Equal for a scenario and its twin, and for scenarios that share their names."""
        return draw_names(Random(f"{self.seed}/{self.scenario.names_of or self.scenario.id}"))

    def service(self, placement: Placement) -> str:
        """The name of the service that a placement belongs to."""
        return self.names().service + ("", "-eu")[placement.service]


@dataclass(frozen=True)
class Seen:
    """What came of a row: facts and blindness by placement, the most logins of the doctor's
    to one server.

    ``void`` says why the row does not count, ``failure`` why the doctor gave no report.
    """

    facts: tuple[Facts, ...] = ()
    blind: tuple[bool, ...] = ()
    logins: int = 0
    said: Said | None = None
    void: str = ""
    failure: str = ""


async def play(part: Part) -> Seen:
    """Plays a row from healthy servers to none."""
    async with AsyncExitStack() as servers:
        watches = [
            await servers.enter_async_context(_watch(part, placement))
            for placement in part.scenario.placements
        ]
        try:
            seen = await _examine(part, watches)
        finally:
            early = [words for watch in watches for words in await watch.undo()]
        if early and not seen.void:
            return Seen(void=f"ended early: {'; '.join(early)}")
        return seen if seen.void else await _healed(watches, seen)


@asynccontextmanager
async def _watch(part: Part, placement: Placement) -> AsyncIterator[Watch]:
    fault, names = placement.fault, part.names()
    random = Random(f"{part.seed}/{part.scenario.id}/{placement.service}")
    settings = fault.settings(part.version, part.twin)
    if isinstance(fault, OwnFault):
        with tempfile.TemporaryDirectory(prefix="backend-doctor-application-") as folder:
            own = OwnPlace(names=names, random=random, seed=part.seed, folder=Path(folder))
            yield OwnWatch(fault, own, part.twin)
        return
    if isinstance(fault, PostgresFault):
        postgres = PostgresServer(
            POSTGRES[part.version](), settings={**settings, "log_connections": "on"}
        )
        await asyncio.to_thread(postgres.start)
        eyes = PostgresOracle(postgres.admin_url(names.database))
        place = PostgresPlace(
            names=names,
            random=random,
            seed=part.seed,
            server=postgres,
            oracle=eyes,
            version=part.version,
        )
        watch: Watch = PostgresWatch(fault, place, part.twin)
        server: PostgresServer | RedisServer = postgres
    else:
        kind = "redis" if part.version == 15 else "valkey"
        redis = RedisServer(REDIS[kind](), settings=settings)
        await asyncio.to_thread(redis.start)
        oracle = RedisOracle(redis.admin_url())
        there = RedisPlace(names=names, random=random, seed=part.seed, server=redis, oracle=oracle)
        watch, server = RedisWatch(fault, there, part.twin), redis
    try:
        await watch.prepare()
        yield watch
    finally:
        await watch.close()
        await asyncio.to_thread(server.stop)


async def _examine(part: Part, watches: Sequence[Watch]) -> Seen:
    for watch in watches:
        await watch.inject()
    await asyncio.sleep(SETTLE)
    void = await _until_it_took(watches)
    if void:
        return Seen(void=f"did not take: {void}")
    said, failure = None, ""
    with tempfile.TemporaryDirectory(prefix="backend-doctor-scenario-") as folder:
        try:
            services = _configuration(part, watches)
            scenario = part.scenario
            said = await examine(
                services, Path(folder), scenario.sample_for, scenario.options, scenario.limits
            )
        except DoctorError as error:
            failure = str(error)
    facts = [await watch.look_again() for watch in watches]
    lost = _missing(watches, facts)
    blind = tuple(watch.blind() for watch in watches)
    logins = max(watch.logins() for watch in watches)
    void = f"did not last: {lost}" if lost else ""
    return Seen(tuple(facts), blind, logins, said, void, failure)


async def _until_it_took(watches: Sequence[Watch]) -> str:
    deadline = time.monotonic() + PATIENCE
    while True:
        facts = await asyncio.gather(*(watch.look() for watch in watches))
        missing = _missing(watches, facts)
        for watch in watches:
            await watch.step_aside()  # else the oracle sits on a slot that the fault would take
        if not missing or time.monotonic() > deadline:
            return missing
        await asyncio.sleep(0.6)


def _missing(watches: Sequence[Watch], facts: Sequence[Facts]) -> str:
    lists = [watch.missing(seen) for watch, seen in zip(watches, facts, strict=True)]
    return "; ".join(reason for reasons in lists for reason in reasons)


def _configuration(part: Part, watches: Sequence[Watch]) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = {}
    for placement, watch in zip(part.scenario.placements, watches, strict=True):
        services.setdefault(part.service(placement), {}).update(watch.configuration())
    return services


async def _healed(watches: Sequence[Watch], seen: Seen) -> Seen:
    deadline = time.monotonic() + PATIENCE
    while not all([await watch.undone() for watch in watches]):
        if time.monotonic() > deadline:
            return Seen(void="could not be undone")
        await asyncio.sleep(0.2)
    return seen
