"""Facts of tokens for the tests of checks."""

from typing import Any

from backend_doctor import Instance
from backend_doctor.backends.token.clocks import Clocks, HostClock
from backend_doctor.backends.token.decoding import Claim
from backend_doctor.backends.token.sample import SampleToken

NOW = 1_790_000_000.0


Moment = float | Claim | None


def at(moment: Moment) -> Claim:
    """A claim that many seconds from now, or the claim itself."""
    if isinstance(moment, Claim):
        return moment
    return Claim() if moment is None else Claim(form="number", value=NOW + moment)


def token(exp: Moment = 900, iat: Moment = 0, nbf: Moment = None, **more: Any) -> SampleToken:
    """A sample whose moments are given in seconds from now."""
    claims = {"exp": at(exp), "iat": at(iat), "nbf": at(nbf)}
    return SampleToken(**{"alg": "HS256", "typ": "JWT", "observed": NOW, **claims, **more})


def place(**declared: Any) -> Instance:
    """The configured backend with these settings."""
    return Instance(
        service="shop",
        backend="token",
        name="token",
        address="sample token",
        host="sample token",
        port=0,
        settings=declared,
    )


def clocks(*offsets: float, silent: tuple[str, ...] = ()) -> Clocks:
    """Hosts a, b, ... that differ from us by so many seconds."""
    hosts = tuple(
        HostClock(host=f"https://{chr(97 + number)}", offset=offset, uncertainty=1.1)
        for number, offset in enumerate(offsets)
    )
    return Clocks(hosts=hosts, silent=silent)
