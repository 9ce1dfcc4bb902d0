"""What time it is on the hosts that issue and verify tokens, by the Date of their answers."""

import asyncio
import datetime
import email.utils
from collections.abc import Iterator
from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.token.connection import Reply, TokenConnection, origin_of
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

_MOST_HOSTS = 10
# Date holds whole seconds, and some servers renew it once a second only
_DATE_SECONDS = 1.0


class HostClock(msgspec.Struct, frozen=True, kw_only=True):
    """``offset`` is the host's clock less ours in seconds, right within ``uncertainty``."""

    host: str
    offset: float
    uncertainty: float


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """How far two clocks are apart: ``ahead`` by ``seconds``, right within ``uncertainty``."""

    ahead: str
    behind: str
    seconds: float
    uncertainty: float

    @property
    def certain(self) -> float:
        """The least that they are apart."""
        return max(0.0, self.seconds - self.uncertainty)


class Clocks(Fact, frozen=True):
    """The clocks that could be read; ``silent`` says of the others why not."""

    hosts: tuple[HostClock, ...]
    silent: tuple[str, ...] = ()

    seconds_limit: ClassVar[float] = 8.0

    @property
    def widest(self) -> Gap | None:
        """The two hosts that surely differ most; None with fewer than two."""
        if len(self.hosts) < 2:
            return None
        first, *_, last = sorted(self.hosts, key=lambda host: host.offset)
        return Gap(
            ahead=last.host,
            behind=first.host,
            seconds=last.offset - first.offset,
            uncertainty=last.uncertainty + first.uncertainty,
        )

    @property
    def agreed(self) -> bool:
        """Whether the hosts' clocks may all be the same."""
        return self.widest is None or self.widest.certain == 0.0

    @property
    def ours(self) -> Gap | None:
        """How far the hosts are from our own clock; None without a host or where they differ."""
        if not self.hosts or not self.agreed:
            return None
        closest = min(self.hosts, key=lambda host: host.uncertainty)
        us = "this machine"
        return Gap(
            ahead=closest.host if closest.offset > 0 else us,
            behind=us if closest.offset > 0 else closest.host,
            seconds=abs(closest.offset),
            uncertainty=closest.uncertainty,
        )

    @property
    def correction(self) -> float:
        """Seconds to add to our clock to have the hosts' time; 0 where it cannot be told better."""
        if self.ours is None or self.ours.certain == 0.0:
            return 0.0
        return self.ours.seconds if self.ours.behind == "this machine" else -self.ours.seconds

    @classmethod
    async def collect(cls, tokens: TokenConnection, instance: Instance) -> Self:
        """One HEAD for each host among the settings hosts, login, refresh and jwks.

        Raises Absent where none is declared.
        """
        urls = dict(_declared(instance))
        if not urls:
            raise Absent("no host to compare clocks with", kind=AbsenceKind.NOT_APPLICABLE)
        asked = list(urls.items())[:_MOST_HOSTS]
        found = await asyncio.gather(*(_ask(tokens, host, url) for host, url in asked))
        return cls(
            hosts=tuple(clock for clock in found if isinstance(clock, HostClock)),
            silent=tuple(reason for reason in found if isinstance(reason, str)),
        )


def _declared(instance: Instance) -> Iterator[tuple[str, str]]:
    for key in ("hosts", "login", "refresh", "jwks"):
        value = instance.settings.get(key)
        urls = value if isinstance(value, tuple) else (value,)
        for url in urls:
            if isinstance(url, str) and (origin := origin_of(url)):
                yield origin, url


async def _ask(tokens: TokenConnection, host: str, url: str) -> HostClock | str:
    try:
        return host_clock(host, await tokens.head(url))
    except (OSError, ValueError) as error:
        return f"{host}: {error}"


def host_clock(host: str, reply: Reply) -> HostClock:
    """The clock in a reply's Date header. Raises ValueError where it cannot be told."""
    if reply.age not in ("", "0"):
        raise ValueError("the answer came from a cache, so its Date is old")
    try:
        moment = email.utils.parsedate_to_datetime(reply.date)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError("the answer has no Date that can be read") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    trip = max(0.0, reply.heard - reply.asked)
    # the Date is cut to the second, so half a second later is its middle
    offset = moment.timestamp() + 0.5 - (reply.asked + reply.heard) / 2
    return HostClock(host=host, offset=round(offset, 3), uncertainty=round(trip + _DATE_SECONDS, 3))
