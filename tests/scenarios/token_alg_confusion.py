"""The verifier does as the token's header says."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.scenarios.frame.fault import Placement, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace
from tests.scenarios.frame.sessions import SessionFault


def _packed(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class TokenAlgConfusion(SessionFault):
    """It takes unsigned tokens, or the public key for a secret; the twin pins the algorithm."""

    truth = "T07"
    options = ("--forge",)

    def task(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"verifier": "right" if twin else ("none", "confused")[place.variant]}

    def declared(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        return {"jwks": f"{place.application.url}/jwks"}

    async def _forged(self, place: OwnPlace) -> str:
        payload = (place.folder / "token.jwt").read_text().split(".")[1]
        alg = ("none", "HS256")[place.variant]
        signed = f"{_packed(json.dumps({'alg': alg}).encode())}.{payload}"
        if alg == "none":
            return f"{signed}."
        async with httpx.AsyncClient(base_url=place.application.url) as client:
            keys = (await client.get("/jwks")).json()["keys"]
        (newest,) = [jwt.PyJWK(key).key for key in keys if key["kid"] == "new"]
        pem = newest.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return f"{signed}.{_packed(hmac.digest(pem, signed.encode(), hashlib.sha256))}"

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        forged = await self.status(place, await self._forged(place))
        return {**await super().look(place, twin), "forged": [forged]}

    def missing(self, place: OwnPlace, facts: Facts, twin: bool) -> list[str]:
        return unless(
            {
                "the genuine one works": set(facts["sample_status"]) == {200},
                "the forged one does, or not": set(facts["forged"]) == {401 if twin else 200},
            }
        )


SCENARIO = Scenario("T07", (Placement(TokenAlgConfusion()),))
