"""The server's list of origins lacks the one that the page comes from."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsOriginNotAllowed(CorsFault):
    """The origin is not listed, or in another spelling; the twin refuses only whom it should."""

    truth = "C01"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        spellings: tuple[list[str], ...] = (
            [],
            [f"{here.origin}/"],
            [here.origin.replace("https:", "http:")],
            [f"{here.origin}:8443"],
        )
        listed = [here.origin] if twin else spellings[place.seed % len(spellings)]
        return {"cors": {"allow_origins": [here.known, *listed], "allow_methods": ["GET", "PUT"]}}

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        return {"methods": ["GET", "PUT"], "refused": [here.stranger] if twin else []}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        here = self.here(place)
        allowed = here.origin if twin else ""
        return unless(
            {
                "the answer is there": set(facts["answer_status"]) == {200},
                "the origin is allowed or not as meant": set(facts["answer_origin"]) == {allowed},
                "the stranger is refused": set(facts["stranger_origin"]) == {""},
            }
        )


SCENARIO = Scenario("C01", (Placement(CorsOriginNotAllowed()),))
