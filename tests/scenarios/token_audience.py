"""A token for another service, which the one under care refuses."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.tokens import TokenFault


class TokenAudience(TokenFault):
    """``aud`` names one or two other services; the twin's list has ours in it."""

    truth = "T05"

    def claims(self, place: OwnPlace, now: float, twin: bool) -> Mapping[str, Any]:
        others = [f"{place.names.other}-api", f"{place.names.service}-admin"]
        wrong = others if place.variant else others[0]
        aud = [others[0], place.names.application] if twin else wrong
        return {"iat": int(now), "exp": int(now) + 900, "aud": aud}

    def policy(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"audience": place.names.application}

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        said = self.payload(place)["aud"]
        return {
            **await super().look(place, twin),
            "expected_audience": [place.names.application],
            "audiences": [len(said) if isinstance(said, list) else 1],
            "refusal": [self.refusal(place, audience=place.names.application)],
        }

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        wanted = "" if twin else "InvalidAudienceError"
        return unless({"a verifier refuses it, or not": set(facts["refusal"]) == {wanted}})


SCENARIO = Scenario("T05", (Placement(TokenAudience()),))
