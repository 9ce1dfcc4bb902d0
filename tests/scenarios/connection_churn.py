"""The application connects anew for every query."""

from collections.abc import Mapping

from tests.scenarios.frame.apps import browse, reconnect_for_each_query
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace

LASTING = 3


def _pace(place: PostgresPlace) -> int:
    return 60 + place.seed % 4


class ConnectionChurn(PostgresFault):
    """60 connects a second with one query each; the twin asks as often over 3 connections."""

    truth = "P07"
    background = 1

    def declares(self, place: PostgresPlace, twin: bool) -> Mapping[str, int]:
        return {"pool_size": LASTING}

    async def inject(self, place: PostgresPlace) -> None:
        place.run(reconnect_for_each_query(place, _pace(place)))

    async def inject_twin(self, place: PostgresPlace) -> None:
        names, pause = place.names, LASTING / _pace(place)
        for _ in range(LASTING):
            place.run(browse(place, names.application, names.table, pause))

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        return {"connecting_application": [place.names.application]}

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        rate, each = facts["new_sessions_per_second"][-1], facts["transactions_per_session"][-1]
        if twin:
            return unless({"hardly a session is opened": float(rate) < 2})
        return unless(
            {
                "sessions are opened at the pace of the queries": float(rate) > 0.8 * _pace(place),
                "for hardly more than a query each": float(each) < 4,
            }
        )


SCENARIO = Scenario("P07", (Placement(ConnectionChurn()),))
