"""Access and refresh tokens; a refresh token works once, and its reuse ends its family."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
from redis.asyncio import Redis

from backend_doctor.demo.shop.faults import Fault, Faults
from backend_doctor.demo.shop.settings import APPLICATION, Settings

AUDIENCE = "shop-api"
CLOCK_ERROR = timedelta(minutes=5)


class TokenError(Exception):
    """A token that is not, or no longer, accepted."""


@dataclass(frozen=True)
class Pair:
    """What a login or a refresh gives."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "bearer"  # noqa: S105 - the scheme's name


class Tokens:
    """Issues and accepts tokens; the cache knows the newest refresh token of each login."""

    def __init__(self, settings: Settings, cache: Redis, faults: Faults) -> None:
        self._settings = settings
        self._cache = cache
        self._faults = faults

    async def issue(self, user: str) -> Pair:
        """Tokens for a login that succeeded."""
        family, newest = uuid4().hex, uuid4().hex
        await self._remember(family, newest)
        return self._pair(user, family, newest)

    async def rotate(self, refresh_token: str) -> Pair:
        """New tokens for a refresh token; raises TokenError when it was used before."""
        claims = self._claims(refresh_token, "refresh")
        family, newest = claims["family"], uuid4().hex
        # exchanged in one step: of two that come at once only one finds its own
        if await self._remember(family, newest) != claims["jti"]:
            await self._cache.delete(f"family:{family}")
            raise TokenError("the refresh token was used before: log in again")
        return self._pair(claims["sub"], family, newest)

    def user_of(self, access_token: str) -> str:
        """Whose access token it is; raises TokenError."""
        user: str = self._claims(access_token, "access")["sub"]
        return user

    async def _remember(self, family: str, newest: str) -> str:
        lifetime = self._settings.refresh_lifetime
        former = await self._cache.set(f"family:{family}", newest, ex=lifetime, get=True)
        return former.decode() if isinstance(former, bytes) else ""

    def _pair(self, user: str, family: str, newest: str) -> Pair:
        access, refresh = self._settings.access_lifetime, self._settings.refresh_lifetime
        return Pair(
            access_token=self._signed(access, sub=user, typ="access", jti=uuid4().hex),
            refresh_token=self._signed(refresh, sub=user, typ="refresh", jti=newest, family=family),
            expires_in=int(access.total_seconds()),
        )

    def _signed(self, lifetime: timedelta, **claims: str) -> str:
        now = datetime.now(UTC)
        if Fault.CLOCK_AHEAD in self._faults.on:
            now += CLOCK_ERROR
        expires = int((now + lifetime).timestamp())
        if Fault.EXPIRY_IN_MILLISECONDS in self._faults.on:
            expires *= 1000
        times = {"iat": int(now.timestamp()), "nbf": int(now.timestamp()), "exp": expires}
        payload = {"iss": APPLICATION, "aud": AUDIENCE, **times, **claims}
        return jwt.encode(payload, self._settings.secret_key, self._settings.algorithm)

    def _claims(self, token: str, typ: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._settings.secret_key,
                algorithms=[self._settings.algorithm],
                audience=AUDIENCE,
                issuer=APPLICATION,
                options={"require": ["exp", "iat", "sub", "typ"]},
            )
        except jwt.InvalidTokenError as error:
            raise TokenError(str(error)) from error
        if claims["typ"] != typ:
            raise TokenError(f"this is no {typ} token")
        return claims
