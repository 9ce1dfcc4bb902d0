"""Application and proxy both name the allowed origin."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsDuplicateHeader(CorsFault):
    """The proxy adds its header on top; the twin's proxy takes the application's away first."""

    truth = "C13"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        header = "Access-Control-Allow-Origin"
        return {
            "cors": {"allow_origins": [here.origin, here.known]},
            "proxy": {"adds": {header: here.origin}, "hides": header if twin else ""},
        }

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        origin = self.here(place).origin
        named = origin if twin else f"{origin}, {origin}"
        return unless({"once or twice as meant": set(facts["answer_origin"]) == {named}})


SCENARIO = Scenario("C13", (Placement(CorsDuplicateHeader()),))
