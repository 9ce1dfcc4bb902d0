"""What else the answers to declared clients tell: which is let through, and advice."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import urlsplit

from backend_doctor.backends.cors.exchanges import Exchange, hops
from backend_doctor.backends.cors.fetch import (
    REDIRECTS,
    decide,
    needs_preflight,
    preflight_check,
    preflight_seconds,
)
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.cors.verdicts import blockade, unanswered
from backend_doctor.model import Evidence

CHROMIUM_SECONDS, FIREFOX_SECONDS = 7200, 86_400
"""How long a browser keeps a preflight at most (MDN, Access-Control-Max-Age)."""
# RFC 6761, 6762, 8375 and 9476: no page of the public web has such a name
_RESERVED = ("localhost", "local", "internal", "test", "example", "invalid", "home.arpa")
_MOST_CELLS = 12


def _cell(exchange: Exchange) -> str:
    """``allowed``, or the rule that blocks."""
    found = blockade(exchange)
    if found is not None:
        return found.code
    if unanswered(exchange):
        return "no answer"
    return "allowed" if exchange.answers else "allowed by the preflight"


def matrix(seen: Preflights) -> Evidence:
    """Each declared client and path: allowed, or the rule that blocks."""
    cells = [(_cell(one), one) for one in seen.exchanges]
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for cell, one in cells:
        groups[cell, one.path, one.origin].append(one.method)
    rows = [
        f"{cell}: {', '.join(methods)} {path} from {origin}"
        for (cell, path, origin), methods in groups.items()
    ]
    rest = len(rows) - _MOST_CELLS
    return Evidence(
        key="matrix",
        value=tuple(f"{one.text}: {cell}" for cell, one in cells),
        text="; ".join([*rows[:_MOST_CELLS], *([f"and {rest} more"] if rest > 0 else [])]),
        source="OPTIONS and GET as a browser sends them, judged by the Fetch standard",
    )


def _budget(seen: Preflights) -> Iterator[str]:
    if seen.cut:
        yield f"time was up after {len(seen.exchanges)} of {seen.wanted} declared requests"
    if seen.throttled:
        tried = f"{len(seen.exchanges)} of {seen.wanted} declared requests"
        yield f"no more was asked after {tried}, since the server answered 429"
    unsent = sorted({one.method for one in seen.exchanges if not one.answers})
    if unsent:
        methods = ", ".join(unsent)
        yield f"of {methods} only the preflight was judged; the actual answer is unverified"


def _errors(seen: Preflights) -> Iterator[str]:
    for one in seen.exchanges:
        errors = sorted({s.status for s in one.samples if s.failed and s.status})
        if errors and blockade(one) is None:
            text = f"{one.text} fails with {', '.join(map(str, errors))} and the right CORS headers"
            yield f"{text}: an error of the application, not of CORS"


def _differences(seen: Preflights) -> Iterator[str]:
    for one in seen.exchanges:
        if one.preflight is not None and needs_preflight(one.request):
            yield preflight_check(one.request, one.preflight.seen).warning
        yield from (decide(one.request, hops(steps)).warning for steps in one.answers)


def _elsewhere(seen: Preflights) -> Iterator[str]:
    for one in seen.exchanges:
        for steps in one.answers:
            last = steps[-1].actual
            if last.status in REDIRECTS and last.location and blockade(one) is None:
                host = urlsplit(last.location).netloc
                yield (
                    f"{one.text} is redirected to {host}, which was not asked: whether that "
                    "allows the origin `null` is unverified"
                )


def _kept(seen: Preflights) -> Iterator[str]:
    asked = [
        preflight_seconds(one.preflight.seen)
        for one in seen.exchanges
        if one.preflight and needs_preflight(one.request) and blockade(one) is None
    ]
    if asked and min(asked) <= 5:
        yield (
            f"browsers keep a preflight for {min(asked)} s (Access-Control-Max-Age): nearly every "
            "call takes two round trips"
        )
    if asked and max(asked) > CHROMIUM_SECONDS:
        yield (
            f"Access-Control-Max-Age is {max(asked)} s; Chromium keeps a preflight for "
            f"{CHROMIUM_SECONDS} s at most, Firefox for {FIREFOX_SECONDS} s"
        )


def _is_public(origin: str) -> bool:
    host = urlsplit(origin).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        reserved = host.endswith(tuple(f".{name}" for name in _RESERVED))
        return "." in host and not reserved


def _local(seen: Preflights) -> Iterator[str]:
    public = next((one.origin for one in seen.exchanges if _is_public(one.origin)), "")
    if public and seen.peer and ipaddress.ip_address(seen.peer).is_private:
        yield (
            f"the API is at the private address {seen.peer} from here, and {public} is public: "
            "where users see that address too, browsers ask them first (Local Network Access), "
            "which cannot be tested from a server"
        )


def remarks(seen: Preflights) -> tuple[str, ...]:
    """Limits of what was asked, and advice; each once."""
    parts = (_budget, _errors, _differences, _elsewhere, _kept, _local)
    return tuple(dict.fromkeys(note for part in parts for note in part(seen) if note))
