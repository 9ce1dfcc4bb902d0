"""A sequence is near the end of what its column can hold."""

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

MOST = 2**31 - 1


class SequenceExhausted(PostgresFault):
    """A wide sequence feeds a narrow column; the twin's column is wide, or its sequence turns."""

    truth = "S21"

    async def inject(self, place: PostgresPlace) -> None:
        await _furnish(place, "int", place.random.uniform(0.82, 0.99))

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _furnish(place, "bigint", place.random.uniform(0.82, 0.99))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        admin = await asyncpg.connect(place.server.admin_url(place.names.database))
        try:
            last = await admin.fetchval(f"SELECT last_value FROM {_sequence(place)}")
        finally:
            await admin.close()
        return {
            "sequence": [f"public.{_sequence(place)}"],
            "fed_column": [f"public.{_table(place)}.number"],
            "used_share": [last / MOST],
            "values_left": [MOST - last],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        return unless({"the value is high": min(facts["used_share"]) > 0.8})


def _table(place: PostgresPlace) -> str:
    return f"{place.names.table}_log"


def _sequence(place: PostgresPlace) -> str:
    return f"{place.names.quiet_table}_counter"


async def _furnish(place: PostgresPlace, kind: str, share: float) -> None:
    sequence, table = _sequence(place), _table(place)
    owner = await asyncpg.connect(place.url())
    try:
        await owner.execute(f"CREATE SEQUENCE {sequence}")
        await owner.execute(
            f"CREATE TABLE {table} (number {kind} DEFAULT nextval('{sequence}'), note text)"
        )
        await owner.execute(f"SELECT setval('{sequence}', {round(MOST * share)})")
        await owner.execute(f"INSERT INTO {table} (note) SELECT 'x' FROM generate_series(1, 50)")
        await owner.execute(f"CREATE SEQUENCE {sequence}_turns MAXVALUE 100 CYCLE")
        await owner.execute(f"SELECT setval('{sequence}_turns', 99)")
    finally:
        await owner.close()


SCENARIO = Scenario("S21", (Placement(SequenceExhausted()),))
