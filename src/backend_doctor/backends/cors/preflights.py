"""What the server answers to the declared clients, and to origins that it must refuse."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from string import ascii_lowercase
from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.cors.exchanges import Exchange
from backend_doctor.backends.cors.fetch import origin_of
from backend_doctor.backends.cors.prober import MOST, MOST_OWN, Prober
from backend_doctor.backends.cors.stacks import Layers, layers_of
from backend_doctor.backends.cors.strangers import strangers
from backend_doctor.backends.http.connection import HttpConnection
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

# what a browser would send with these where the configuration names the header alone
_VALUES = {"content-type": "application/json"}


def _wanted(instance: Instance, own: str) -> Iterator[Exchange]:
    headers = {name.lower(): _VALUES.get(name.lower(), "x") for name in instance.texts("headers")}
    credentials = instance.settings.get("credentials") is True
    for path in instance.texts("paths") or ("/",):
        # a page of the API's own origin asks without CORS
        for origin in (one for one in instance.texts("origins") if one != own):
            for method in instance.texts("methods") or ("GET",):
                yield Exchange(
                    origin=origin,
                    method=method,
                    path=path,
                    headers=headers,
                    credentials=credentials,
                )


def _room(http: HttpConnection, tried: Sequence[Exchange]) -> int:
    """How many requests the first client's path may still bear."""
    own = max(MOST_OWN, *(len(one.responses) for one in tried), 0)
    # the connection was opened by a request to the root
    opening = any(http.url_of(one.path) == http.url_of("/") for one in tried)
    return MOST - own - opening


class Preflights(Fact, frozen=True):
    """Every declared client of ``url`` tried, then the origins to refuse.

    ``refused`` are declared ones, ``strangers`` made up for this run; ``cut`` when the time
    was up before all of them were tried, ``throttled`` when the server called a halt (429).
    ``wanted`` counts the declared exchanges, ``expose`` are the headers that the clients read,
    and ``peer`` is the address that answered.
    """

    seconds_limit: ClassVar[float] = 14.0

    url: str
    exchanges: tuple[Exchange, ...]
    refused: tuple[Exchange, ...] = ()
    strangers: tuple[Exchange, ...] = ()
    wanted: int = 0
    cut: bool = False
    throttled: bool = False
    expose: tuple[str, ...] = ()
    peer: str = ""

    @classmethod
    async def collect(cls, http: HttpConnection, instance: Instance) -> Self:
        """OPTIONS for each client, GET or HEAD for those that use them; nothing else is sent.

        Raises Absent where no client of another origin is declared.
        """
        wanted = list(_wanted(instance, origin_of(http.url)))
        if not wanted:
            raise Absent("no client of another origin is declared", kind=AbsenceKind.NOT_APPLICABLE)
        prober = Prober(http)
        exchanges = await cls._all(prober, wanted)
        others = (
            msgspec.structs.replace(wanted[0], origin=origin, declared=False)
            for origin in instance.texts("refused")
        )
        refused = await cls._all(prober, others)
        # letters alone, which any pattern takes
        word = "doctor" + "".join(secrets.choice(ascii_lowercase) for _ in range(6))
        room = _room(http, exchanges[:1])
        made_up = [
            stranger
            for tried in exchanges[:1]
            for stranger in await strangers(prober, tried, instance.texts("origins"), word, room)
        ]
        return cls(
            url=http.url,
            exchanges=tuple(await prober.repeated(exchanges)),
            refused=tuple(refused),
            strangers=tuple(made_up),
            wanted=len(wanted),
            cut=prober.cut,
            throttled=prober.throttled,
            expose=tuple(map(str.lower, instance.texts("expose"))),
            peer=http.peer,
        )

    @property
    def layers(self) -> Layers:
        """Who answers, as far as any answer tells."""
        every = (*self.exchanges, *self.refused, *self.strangers)
        return layers_of((one.author, one.headers) for each in every for one in each.responses)

    @staticmethod
    async def _all(prober: Prober, exchanges: Iterable[Exchange]) -> list[Exchange]:
        found = []
        for exchange in exchanges:
            if prober.spent:
                break
            found.append(await prober.tried(exchange))
        return found
