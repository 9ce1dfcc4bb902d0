"""A redirect stands before CORS, and no browser follows the redirect of a preflight."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsPreflightRedirect(CorsFault):
    """OPTIONS is redirected to the path with a slash; the twin needs no preflight."""

    truth = "C06"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        cors = {"allow_origins": [here.origin], "allow_headers": ["authorization"]}
        return {"cors": cors, "redirect": "inside" if twin else "outside"}

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        return {} if twin else {"headers": ["authorization"]}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        here = self.here(place)
        redirected = "answer_location" if twin else "preflight_location"
        return unless(
            {
                "the redirect is there": set(facts[redirected]) == {f"{here.path}/"},
                "OPTIONS is answered as meant": set(facts["preflight_status"])
                == {200 if twin else 307},
            }
        )


SCENARIO = Scenario("C06", (Placement(CorsPreflightRedirect()),))
