"""Clients ask for the next token when the present one has been over for a while."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.tokens import TokenFault

LEEWAY = 30


def _lives(place: OwnPlace) -> int:
    return (600, 900)[place.variant]


def _interval(place: OwnPlace, twin: bool) -> int:
    return _lives(place) - 60 if twin else _lives(place) + 300


class TokenTtlShorterThanRefresh(TokenFault):
    """Clients renew minutes after the end; the twin's do a minute before it."""

    truth = "T11"

    def claims(self, place: OwnPlace, now: float, twin: bool) -> Mapping[str, Any]:
        return {"iat": int(now), "exp": int(now) + _lives(place)}

    def policy(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"refresh_interval": _interval(place, twin), "leeway": LEEWAY}

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        claims = self.payload(place)
        return {
            **await super().look(place, twin),
            "lifetime": [claims["exp"] - claims["iat"]],
            "refresh_interval": [_interval(place, twin)],
        }

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        over = facts["refresh_interval"][0] > facts["lifetime"][0] + LEEWAY
        return unless(
            {
                "over before it is renewed, or not": over is not twin,
                "fresh": facts["exp_ahead"][0] > 0,
            }
        )


SCENARIO = Scenario("T11", (Placement(TokenTtlShorterThanRefresh()),))
