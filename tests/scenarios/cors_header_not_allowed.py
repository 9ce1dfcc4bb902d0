"""The preflight does not allow a header that the page sends."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsHeaderNotAllowed(CorsFault):
    """``authorization`` is not allowed; the twin sends only headers that need no leave."""

    truth = "C03"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        allowed = place.random.sample(("content-type", "x-request-id", "x-tenant"), 2)
        return {"cors": {"allow_origins": [here.origin, here.known], "allow_headers": allowed}}

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        return {"headers": ["accept-language"] if twin else ["authorization"]}

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        facts = await super().look(place, twin)
        return {**facts, "header_not_allowed": [] if twin else ["authorization"]}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        here = self.here(place)
        listed = any("authorization" in text.split(", ") for text in facts["preflight_headers"])
        return unless(
            {
                "the origin is allowed": set(facts["answer_origin"]) == {here.origin},
                "authorization is not": not listed,
                "the preflight passes as meant": set(facts["preflight_status"])
                == {200 if twin else 400},
            }
        )


SCENARIO = Scenario("C03", (Placement(CorsHeaderNotAllowed()),))
