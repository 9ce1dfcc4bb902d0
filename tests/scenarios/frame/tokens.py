"""A sample token in a file, as an operator would save one, and how it reads to anyone."""

import base64
import json
import secrets
import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import jwt
from tests.scenarios.frame.fault import OwnFault
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import OwnPlace


class TokenFault(OwnFault):
    """A fault of the tokens that the application issues."""

    kind = "token"

    @abstractmethod
    def claims(self, place: OwnPlace, now: float, twin: bool) -> Mapping[str, Any]:
        """The payload beside the user's name."""

    def policy(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        """What is declared of the tokens."""
        return {}

    async def inject(self, place: OwnPlace) -> None:
        self._issue(place, twin=False)

    async def inject_twin(self, place: OwnPlace) -> None:
        self._issue(place, twin=True)

    def _issue(self, place: OwnPlace, *, twin: bool) -> None:
        key, algorithm = secrets.token_urlsafe(64), place.random.choice(("HS256", "HS512"))
        payload = {"sub": place.names.other, **self.claims(place, time.time(), twin)}
        for name, text in (("token.jwt", jwt.encode(payload, key, algorithm)), ("key", key)):
            file = place.folder / name
            file.touch(mode=0o600)
            file.write_text(text)

    def entries(self, place: OwnPlace, twin: bool) -> Mapping[str, Any]:
        files = {"sample": {"file": str(place.folder / "token.jwt")}}
        key = f"file:{place.folder / 'key'}"
        return {"token": {**files, "secret": key, **self.policy(place, twin)}}

    def refusal(self, place: OwnPlace, **expected: Any) -> str:
        """The error by which PyJWT refuses the token when it is asked for that, or ""."""
        token, key = ((place.folder / name).read_text() for name in ("token.jwt", "key"))
        try:
            jwt.decode(token, key, algorithms=["HS256", "HS512"], **expected)
        except jwt.InvalidTokenError as error:
            return type(error).__name__
        return ""

    def payload(self, place: OwnPlace) -> Mapping[str, Any]:
        """The claims by the letter of RFC 7515."""
        part = (place.folder / "token.jwt").read_text().split(".")[1]
        claims: Mapping[str, Any] = json.loads(
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        )
        return claims

    async def look(self, place: OwnPlace, twin: bool) -> Facts:
        """The moments in the token, and how far ahead each lies."""
        claims = self.payload(place)
        times = {name: claims[name] for name in ("iat", "nbf", "exp") if name in claims}
        ahead = {f"{name}_ahead": [value - time.time()] for name, value in times.items()}
        units = {"milliseconds": 1000, "seconds": 1}
        near = [
            unit for unit, per in units.items() if abs(times["exp"] / per - time.time()) < 86400
        ]
        return {**{name: [value] for name, value in times.items()}, **ahead, "exp_unit": near}
