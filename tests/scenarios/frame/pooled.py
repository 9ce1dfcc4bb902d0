"""A fault that shows in a PgBouncer in front of the place's PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tests.scenarios.frame.fault import Kind, PostgresFault
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.pooler import DOCTOR, pool_facts, start_pooler
from tests.servers.pgbouncer import PgBouncer


class PooledFault(PostgresFault):
    """``size`` server connections in each pool, ``most`` clients (in the twin ``twin_most``)."""

    kind: ClassVar[Kind] = "pgbouncer"
    size: ClassVar[int] = 2
    most: ClassVar[int] = 100
    twin_most: ClassVar[int] = 100

    def __init__(self) -> None:
        self._poolers: dict[int, PgBouncer] = {}

    def pooler(self, place: PostgresPlace) -> PgBouncer:
        """The one of this place."""
        return self._poolers[id(place)]

    def entries(self, place: PostgresPlace, twin: bool) -> Mapping[str, Any]:
        return {"pgbouncer": {"url": self.pooler(place).console_url(DOCTOR)}}

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        return await pool_facts(place, self.pooler(place))

    def pooler_settings(self, place: PostgresPlace, twin: bool) -> Mapping[str, int | str]:
        """Settings of PgBouncer's that differ."""
        return {}

    def roles(self, place: PostgresPlace) -> Sequence[str]:
        """Whom it lets in besides the application's role and the doctor."""
        return ()

    async def target(self, place: PostgresPlace) -> Mapping[str, int | str]:
        """What its line in [databases] says besides, or instead."""
        return {}

    async def inject(self, place: PostgresPlace) -> None:
        await self._start(place, self.most, twin=False)
        await self.use(place, twin=False)

    async def inject_twin(self, place: PostgresPlace) -> None:
        await self._start(place, self.twin_most, twin=True)
        await self.use(place, twin=True)

    async def _start(self, place: PostgresPlace, most: int, *, twin: bool) -> None:
        self._poolers[id(place)] = await start_pooler(
            place,
            size=self.size,
            most=most,
            settings=self.pooler_settings(place, twin),
            roles=self.roles(place),
            target=await self.target(place),
        )

    async def use(self, place: PostgresPlace, *, twin: bool) -> None:
        """What the clients do."""
        raise NotImplementedError
