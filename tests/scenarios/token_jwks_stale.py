"""The issuer has changed its key, and the verifier holds the set from before."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.sessions import SessionFault


class TokenJwksStale(SessionFault):
    """Fresh tokens are refused although the published set verifies them; the twin fetched it."""

    truth = "T12"

    def task(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"verifier": "right" if twin else "stale"}

    def declared(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        url = place.application.url
        return {"jwks": f"{url}/jwks"} if place.variant else {"discovery": url}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        wanted = 200 if twin else 401
        return unless({"refused, or not": set(facts["sample_status"]) == {wanted}})


SCENARIO = Scenario("T12", (Placement(TokenJwksStale()),))
