"""Whatever origin asks is let in by its own name, with credentials."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsReflectsAnyOrigin(CorsFault):
    """A pattern that fits everybody; the twin echoes those of an exact list alone."""

    truth = "C08"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        patterns = (".*", "https?://.*", r"https://[\w.-]+", "|".join((here.origin, ".+")))
        pattern = {"allow_origin_regex": patterns[place.seed % len(patterns)]}
        listed = {"allow_origins": [here.known, here.origin]}
        return {"cors": {**(listed if twin else pattern), "allow_credentials": True}}

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        return {"credentials": True}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        here = self.here(place)
        return unless(
            {
                "the page is served": set(facts["answer_origin"]) == {here.origin},
                "with credentials": set(facts["answer_credentials"]) == {"true"},
                "the stranger too, or not": set(facts["stranger_origin"])
                == {"" if twin else here.stranger},
            }
        )


SCENARIO = Scenario("C08", (Placement(CorsReflectsAnyOrigin()),))
