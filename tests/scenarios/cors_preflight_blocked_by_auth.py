"""Authentication stands before CORS and refuses preflights, which never carry a token."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsPreflightBlockedByAuth(CorsFault):
    """OPTIONS gets a 401; the twin's passes, and its GET gets a 401 with CORS headers."""

    truth = "C05"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        cors = {"allow_origins": [here.origin], "allow_headers": ["authorization"]}
        return {"cors": cors, "auth": "inside" if twin else "outside"}

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        return {"headers": ["authorization"]}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        here = self.here(place)
        preflight, allowed = (200, here.origin) if twin else (401, "")
        return unless(
            {
                f"OPTIONS gets a {preflight}": set(facts["preflight_status"]) == {preflight},
                "GET gets a 401": set(facts["answer_status"]) == {401},
                "with headers or without": set(facts["answer_origin"]) == {allowed},
            }
        )


SCENARIO = Scenario("C05", (Placement(CorsPreflightBlockedByAuth()),))
