"""The preflight does not allow the method that the page uses."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsMethodNotAllowed(CorsFault):
    """PUT, PATCH or DELETE is not allowed; the twin's page uses what needs no leave."""

    truth = "C11"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        known = [method for method in ("PUT", "PATCH", "DELETE") if method != self._wanted(place)]
        allowed = place.random.sample(["GET", "POST", *known], 3)
        return {"cors": {"allow_origins": [here.origin, here.known], "allow_methods": allowed}}

    def _wanted(self, place: OwnPlace) -> str:
        return ("PUT", "PATCH", "DELETE")[place.seed % 3]

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        return {"methods": ["HEAD", "GET"] if twin else [self._wanted(place), "GET"]}

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        facts = await super().look(place, twin)
        return {**facts, "method_not_allowed": [] if twin else [self._wanted(place)]}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        listed = any(self._wanted(place) in text.split(", ") for text in facts["preflight_methods"])
        return unless(
            {
                "the origin is allowed": set(facts["answer_origin"]) == {self.here(place).origin},
                "the method is not": not listed,
            }
        )


SCENARIO = Scenario("C11", (Placement(CorsMethodNotAllowed()),))
