"""The issuer's clock is ahead: its tokens are not yet valid for those who verify them."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.tokens import TokenFault

LEEWAY = 60


def _skew(place: OwnPlace, twin: bool) -> int:
    return 20 if twin else 300 + place.seed % 200


class TokenClockSkew(TokenFault):
    """``iat`` and ``nbf`` 300 s or more in the future; the twin's 20 s are forgiven."""

    truth = "T01"

    def claims(self, place: OwnPlace, now: float, twin: bool) -> Mapping[str, Any]:
        there = int(now) + _skew(place, twin)
        return {"iat": there, "nbf": there, "exp": there + 900}

    def policy(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"leeway": LEEWAY}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        ahead = facts["iat_ahead"] + facts["nbf_ahead"]
        if twin:
            return unless({"ahead within the leeway": max(ahead) < LEEWAY})
        return unless({"ahead by far more than the leeway": min(ahead) > 3 * LEEWAY})


SCENARIO = Scenario("T01", (Placement(TokenClockSkew()),))
