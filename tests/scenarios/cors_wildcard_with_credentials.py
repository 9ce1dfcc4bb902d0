"""The server answers ``*`` to a client that sends cookies."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.frame.browser import CorsFault, Page
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class CorsWildcardWithCredentials(CorsFault):
    """``*`` by hand, since Starlette would echo the origin; the twin is a public API."""

    truth = "C02"

    def task(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        headers = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "GET, PUT, POST",
        }
        if not twin:
            headers["Access-Control-Allow-Credentials"] = "true"
        return {"by_hand": headers}

    def client(self, place: OwnPlace, here: Page, twin: bool) -> Mapping[str, Any]:
        return {"credentials": not twin}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        credentials = "" if twin else "true"
        return unless(
            {
                "the answer is there": set(facts["answer_status"]) == {200},
                "it allows *": set(facts["answer_origin"]) == {"*"},
                "with credentials or without": set(facts["answer_credentials"]) == {credentials},
            }
        )


SCENARIO = Scenario("C02", (Placement(CorsWildcardWithCredentials()),))
