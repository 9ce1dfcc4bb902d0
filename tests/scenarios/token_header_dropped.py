"""The Authorization header does not reach the application."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.sessions import SessionFault


class TokenHeaderDropped(SessionFault):
    """A layer in front removes it; the twin hands it on, and words all refusals alike."""

    truth = "T13"

    def task(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        wording = "same" if twin or place.variant else ""
        return {"drops": not twin, "algorithm": "HS256", "wording": wording}

    def declared(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"secret": f"file:{place.folder / 'key'}"}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        wanted = 200 if twin else 401
        return unless({"lost, or not": set(facts["sample_status"]) == {wanted}})


SCENARIO = Scenario("T13", (Placement(TokenHeaderDropped()),))
