"""The issuer writes ``exp`` in milliseconds: the token ends in tens of thousands of years."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.tokens import TokenFault

YEARS = 10 * 365 * 86400


class TokenExpUnit(TokenFault):
    """Minutes to live, in milliseconds; the twin lives for ten years by declared policy."""

    truth = "T08"

    def claims(self, place: OwnPlace, now: float, twin: bool) -> Mapping[str, Any]:
        if twin:
            return {"iat": int(now), "exp": int(now) + YEARS}
        lives = place.random.choice((900, 1800, 3600))
        return {"iat": int(now), "exp": int((now + lives) * 1000)}

    def policy(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"long_lived": True} if twin else {}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        if twin:
            far = min(facts["exp_ahead"]) > 9 * YEARS / 10
            return unless({"it lives for ten years, in seconds": far})
        return unless({"exp is near in milliseconds": set(facts["exp_unit"]) == {"milliseconds"}})


SCENARIO = Scenario("T08", (Placement(TokenExpUnit()),))
