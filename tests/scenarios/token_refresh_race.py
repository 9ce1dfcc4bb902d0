"""Two workers refresh at once; the second is taken for a thief, and the session ends."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.sessions import SessionFault


class TokenRefreshRace(SessionFault):
    """A refresh token works once, and its reuse ends the family; the twin forgives for a while."""

    truth = "T03"
    options = ("--replay", "--yes-replay")

    def task(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"grace": (3, 5)[place.variant] if twin else 0, "algorithm": "HS256"}

    def declared(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"grace": 5, "secret": f"file:{place.folder / 'key'}"}

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        race, after = await self.race(place)
        return {**await super().look(place, twin), "loser": [race[-1]], "after_race": [after]}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        wanted = {200} if twin else {401}
        return unless(
            {
                "the second is refused, or not": set(facts["loser"]) == wanted,
                "the session ends, or not": set(facts["after_race"]) == wanted,
            }
        )


SCENARIO = Scenario("T03", (Placement(TokenRefreshRace()),))
