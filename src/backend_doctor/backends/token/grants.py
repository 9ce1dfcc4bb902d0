"""What a login of the test account gives, and one refresh after it; only with --login."""

import asyncio
import time
from typing import ClassVar, Literal, Self

from backend_doctor.backends.token.account import Account, Pair
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.decoding import decode
from backend_doctor.facts import Fact, Instance
from backend_doctor.secret import Secret

# exp counts whole seconds: a window that slides shows after more than one
_PAUSE = 1.3


class Grants(Fact, frozen=True, kw_only=True):
    """What the test account was given.

    ``problem`` says why the login gave no token. ``lives`` is the access token's exp less the time
    by our clock at the login, None where it has none; ``granted_for`` its exp less its iat, which
    needs no clock; ``expires_in`` is what the answer says. ``refresh_lives`` and
    ``refresh_granted_for`` are the same of the refresh token, ``renewal`` the status of the one
    refresh, None where none was made, and ``window`` whether its token ends later than the first
    one.
    """

    seconds_limit: ClassVar[float] = 22.0

    status: int
    problem: str = ""
    lives: float | None = None
    granted_for: float | None = None
    expires_in: float | None = None
    refresh: Literal["body", "cookie", ""] = ""
    refresh_lives: float | None = None
    refresh_granted_for: float | None = None
    renewal: int | None = None
    rotated: bool = False
    window: Literal["slides", "fixed", "unknown"] = "unknown"

    @classmethod
    async def collect(cls, tokens: TokenConnection, instance: Instance) -> Self:
        """One POST to login, one to refresh. Raises Absent without --login."""
        account = Account(tokens, instance)
        began = time.time()
        first = await account.log_in()
        if not first.granted:
            return cls(status=first.status, problem=first.problem)
        second: Pair | None = None
        if first.refresh and account.can_renew:
            await asyncio.sleep(_PAUSE)
            second = await account.renew(first)
        ends, next_ends = (_end(pair.refresh) if pair else None for pair in (first, second))
        access = _end(first.access)
        return cls(
            status=first.status,
            lives=None if access is None else access - began,
            granted_for=_whole(first.access),
            expires_in=first.expires_in,
            refresh=("cookie" if first.cookie else "body") if first.refresh else "",
            refresh_lives=None if ends is None else ends - began,
            refresh_granted_for=_whole(first.refresh),
            renewal=second.status if second else None,
            rotated=bool(second and second.refresh and second.refresh != first.refresh),
            window=_window(ends, next_ends),
        )


def _end(token: Secret | None) -> float | None:
    """When a token ends, where it is one that can be read."""
    return decode(token.reveal()).exp.seconds if token else None


def _whole(token: Secret | None) -> float | None:
    """How long a token was granted for, where it says when it was issued."""
    found = decode(token.reveal()) if token else None
    if found is None or found.exp.seconds is None or found.iat.seconds is None:
        return None
    return found.exp.seconds - found.iat.seconds


def _window(first: float | None, following: float | None) -> Literal["slides", "fixed", "unknown"]:
    if first is None or following is None:
        return "unknown"
    return "slides" if following > first else "fixed"
