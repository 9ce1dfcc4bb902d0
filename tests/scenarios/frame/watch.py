"""One placement on its server: inject, let the oracle look before and after, undo."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tests.scenarios.frame.apps import background
from tests.scenarios.frame.fault import OwnFault, PostgresFault, RedisFault
from tests.scenarios.frame.forward import forwarded
from tests.scenarios.frame.oracle import Facts, Row, merged, rate_facts, session_facts
from tests.scenarios.frame.place import OwnPlace, PostgresPlace, RedisPlace
from tests.scenarios.frame.rights import Login, grant_postgres, grant_redis


class Watch(Protocol):
    """What the stage does with a placement, whatever its kind."""

    async def prepare(self) -> None:
        """Furnishes the server and grants the doctor its rights."""

    async def inject(self) -> None:
        """Puts background load on, then the fault or its twin."""

    async def look(self) -> Facts:
        """The oracle's fresh look, which lasts about a second; it must have stepped aside."""

    async def step_aside(self) -> None:
        """Gives the oracle's connection back, where the fault does not need it."""

    async def look_again(self) -> Facts:
        """All that the oracle saw since its last fresh look."""

    def missing(self, facts: Facts) -> list[str]:
        """What should be there and is not."""

    def blind(self) -> bool:
        """Whether the doctor finds no free connection."""

    def logins(self) -> int:
        """How often the doctor logged in, by the server's own log; 0 where it keeps none."""

    def configuration(self) -> Mapping[str, Any]:
        """What the doctor's configuration says, by kind of backend; workers apart."""

    async def undo(self) -> list[str]:
        """Ends the fault and all that runs but the oracle; returns what had ended too early."""

    async def undone(self) -> bool:
        """Whether the oracle sees none of the application left."""

    async def close(self) -> None:
        """Ends the oracle too."""


class PostgresWatch:
    """A placement on PostgreSQL."""

    def __init__(self, fault: PostgresFault, place: PostgresPlace, twin: bool) -> None:
        self._fault, self._place, self._twin = fault, place, twin
        self._login = Login()
        self._first: Row = {}
        self._address: tuple[str, int] | None = None
        self._before: list[Sequence[Row]] = []

    async def prepare(self) -> None:
        await self._place.furnish()
        await grant_postgres(self._place.server, self._login, *self._fault.grants)
        if self._fault.remote:
            way = forwarded(self._place.server.port)
            self._address = await self._place.jobs.enter_async_context(way)

    async def inject(self) -> None:
        place, fault = self._place, self._fault
        background(place, fault.background, place.names.quiet_table)
        await (fault.inject_twin if self._twin else fault.inject)(place)

    async def look(self) -> Facts:
        refused = await self._place.refuses()
        self._first = await self._place.oracle.server()
        self._before = await self._place.oracle.look()
        return await self._facts(self._before, refused)

    async def step_aside(self) -> None:
        await self._place.oracle.leave()

    async def look_again(self) -> Facts:
        refused = await self._place.refuses()
        return await self._facts([*self._before, *await self._place.oracle.look()], refused)

    async def _facts(self, readings: Sequence[Sequence[Row]], refused: bool) -> Facts:
        last = await self._place.oracle.server()
        known: Facts = {"login_refused": [refused], "declared_connections": [self._declared()]}
        seen = await self._fault.look(self._place, self._twin)
        return merged(session_facts(readings), rate_facts(self._first, last), known, seen)

    def _declared(self) -> int:
        declares = self._fault.declares(self._place, self._twin)
        pool = declares.get("pool_size", 0) + declares.get("max_overflow", 0)
        return int(declares.get("workers", 1) * pool)

    def missing(self, facts: Facts) -> list[str]:
        return self._fault.missing(self._place, facts, self._twin)

    def blind(self) -> bool:
        return not self._twin and self._fault.blind(self._place)

    def logins(self) -> int:
        log = self._place.server.log()
        return log.count(f"connection authorized: user={self._login.user} ")

    def configuration(self) -> Mapping[str, Any]:
        place, login = self._place, self._login
        url = place.server.url(login.user, login.password, place.names.database)
        if self._address:
            host, port = self._address
            url = url.replace(f"@{place.server.host}:{place.server.port}/", f"@{host}:{port}/")
        declared = dict(self._fault.declares(place, self._twin))
        workers = {"workers": declared.pop("workers")} if "workers" in declared else {}
        others = self._fault.entries(place, self._twin)
        own = {} if self._fault.hidden else {"postgres": {"url": url, **declared}}
        return {**workers, **own, **others}

    async def undo(self) -> list[str]:
        return await self._place.end()

    async def undone(self) -> bool:
        return not await self._place.oracle.sessions()

    async def close(self) -> None:
        await self._place.oracle.leave()


class RedisWatch:
    """A placement on Redis."""

    def __init__(self, fault: RedisFault, place: RedisPlace, twin: bool) -> None:
        self._fault, self._place, self._twin = fault, place, twin
        self._login = Login()
        self._before: Facts = {}

    async def prepare(self) -> None:
        await grant_redis(self._place.server, self._login)

    async def inject(self) -> None:
        await (self._fault.inject_twin if self._twin else self._fault.inject)(self._place)

    async def look(self) -> Facts:
        self._before = await self._facts()
        return self._before

    async def step_aside(self) -> None:
        if not self.blind():
            await self._place.oracle.leave()

    async def look_again(self) -> Facts:
        return merged(self._before, await self._facts())

    async def _facts(self) -> Facts:
        refused: Facts = {"login_refused": [self.blind() and await self._place.refuses()]}
        return merged(await self._place.oracle.facts(), refused)

    def missing(self, facts: Facts) -> list[str]:
        return self._fault.missing(self._place, facts, self._twin)

    def blind(self) -> bool:
        return not self._twin and self._fault.blind(self._place)

    def logins(self) -> int:
        return 0

    def configuration(self) -> Mapping[str, Any]:
        place, login = self._place, self._login
        url = place.server.url(login.user, login.password)
        return {"redis": {"url": url, **self._fault.declares(place, self._twin)}}

    async def undo(self) -> list[str]:
        return await self._place.end()

    async def undone(self) -> bool:
        return await self._place.oracle.clients() == 1

    async def close(self) -> None:
        await self._place.oracle.leave()


class OwnWatch:
    """A placement on the application's own processes and files."""

    def __init__(self, fault: OwnFault, place: OwnPlace, twin: bool) -> None:
        self._fault, self._place, self._twin = fault, place, twin
        self._before: Facts = {}

    async def prepare(self) -> None:
        pass

    async def inject(self) -> None:
        await (self._fault.inject_twin if self._twin else self._fault.inject)(self._place)

    async def look(self) -> Facts:
        self._before = await self._fault.look(self._place, self._twin)
        return self._before

    async def step_aside(self) -> None:
        pass

    async def look_again(self) -> Facts:
        return merged(self._before, await self._fault.look(self._place, self._twin))

    def missing(self, facts: Facts) -> list[str]:
        return self._fault.missing(self._place, facts, self._twin)

    def blind(self) -> bool:
        return False

    def logins(self) -> int:
        return 0

    def configuration(self) -> Mapping[str, Any]:
        return self._fault.entries(self._place, self._twin)

    async def undo(self) -> list[str]:
        return await self._place.end()

    async def undone(self) -> bool:
        return True

    async def close(self) -> None:
        pass
