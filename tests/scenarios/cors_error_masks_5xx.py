"""An error of the server lacks the CORS headers, so that the browser blames CORS."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsErrorMasks5xx(CorsFault):
    """The path fails, outside of the CORS middleware; the twin's errors carry the headers."""

    truth = "C10"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        cors = {"allow_origins": [here.origin, here.known]}
        return {"cors": cors, "cors_outside": twin, "fails_every": 1}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        here = self.here(place)
        allowed = here.origin if twin else ""
        return unless(
            {
                "the path fails": set(facts["answer_status"]) == {500},
                "with headers or without": set(facts["answer_origin"]) == {allowed},
                "the preflight passes": set(facts["preflight_status"]) == {200},
            }
        )


SCENARIO = Scenario("C10", (Placement(CorsErrorMasks5xx()),))
