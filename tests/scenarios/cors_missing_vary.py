"""A shared cache may keep the answer and is not told that it depends on the origin."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsMissingVary(CorsFault):
    """A proxy takes Vary away; the twin's answers are as cacheable, and keep it."""

    truth = "C12"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        age = place.random.choice((60, 300, 3600))
        control = place.random.choice((f"public, max-age={age}", f"s-maxage={age}"))
        return {
            "cors": {"allow_origins": [here.origin, here.known]},
            "proxy": {"adds": {"Cache-Control": control}, "hides": "" if twin else "vary"},
        }

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "the origin is allowed": set(facts["answer_origin"]) == {self.here(place).origin},
                "the stranger's is not": set(facts["stranger_origin"]) == {""},
                "a cache may keep it": "" not in facts["answer_cache"],
                "Vary is as meant": set(facts["answer_vary"]) == {"Origin" if twin else ""},
            }
        )


SCENARIO = Scenario("C12", (Placement(CorsMissingVary()),))
