"""A token whose issuer is not the one, letter by letter, that its verifiers expect."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.tokens import TokenFault


def _expected(place: OwnPlace) -> str:
    return f"https://login.{place.names.service}.example/"


class TokenIssuer(TokenFault):
    """``iss`` is another environment's, or lacks the slash; the twin's is spelled the same."""

    truth = "T10"

    def claims(self, place: OwnPlace, now: float, twin: bool) -> Mapping[str, Any]:
        spellings = (f"https://staging.{place.names.service}.example/", _expected(place)[:-1])
        iss = _expected(place) if twin else spellings[place.variant]
        return {"iat": int(now), "exp": int(now) + 900, "iss": iss}

    def policy(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"issuer": _expected(place)}

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        slash = self.payload(place)["iss"] + "/" == _expected(place)
        return {
            **await super().look(place, twin),
            "expected_issuer": [_expected(place)],
            "issuer_difference": ["slash" if slash else "other"],
            "refusal": [self.refusal(place, issuer=_expected(place))],
        }

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        wanted = "" if twin else "InvalidIssuerError"
        return unless({"a verifier refuses it, or not": set(facts["refusal"]) == {wanted}})


SCENARIO = Scenario("T10", (Placement(TokenIssuer()),))
