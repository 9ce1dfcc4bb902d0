"""Origins that no exact list holds, one for each way of comparing them too loosely."""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from backend_doctor.backends.cors.exchanges import Exchange
from backend_doctor.backends.cors.prober import Prober
from backend_doctor.backends.cors.verdicts import echoed, is_admitted

_Disguise = Callable[[SplitResult, str], str]


def _port(page: SplitResult) -> str:
    return f":{page.port}" if page.port else ""


def _is_named(page: SplitResult) -> bool:
    """Whether it has a domain, not an address or a bare host's name."""
    host = page.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return "." in host
    return False


def domain_of(host: str) -> str:
    """What can be bought of a name: two labels, or three beneath ``co.uk`` and its like."""
    labels = host.split(".")
    national = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3 if national else -2 :])


def _prefix(page: SplitResult, word: str) -> str:
    host = page.hostname or ":"
    return "" if ":" in host else f"{page.scheme}://{host}.{word}.example"


def _suffix(page: SplitResult, word: str) -> str:
    glued = f"{page.scheme}://{word}{domain_of(page.hostname or '')}{_port(page)}"
    return glued if _is_named(page) else ""


def _dot(page: SplitResult, word: str) -> str:
    host = (page.hostname or "").replace(".", word[-1], 1)
    return f"{page.scheme}://{host}{_port(page)}" if _is_named(page) else ""


def _substring(page: SplitResult, word: str) -> str:
    # the word's last letter differs between two, and so does what is cut off
    return page.geturl()[: -1 - "abc".index(word[-1])] if page.hostname else ""


def _plain(page: SplitResult, word: str) -> str:
    return f"http://{page.netloc}" if page.scheme == "https" else ""


def _subdomain(page: SplitResult, word: str) -> str:
    inner = f"{page.scheme}://{word}.{domain_of(page.hostname or '')}{_port(page)}"
    return inner if _is_named(page) else ""


GUISES: dict[str, _Disguise] = {
    "any": lambda page, word: f"https://{word}.example",
    "slash": lambda page, word: f"{page.geturl()}/",
    "null": lambda page, word: "null",
    "prefix": _prefix,
    "suffix": _suffix,
    "substring": _substring,
    "dot": _dot,
    "plain": _plain,
    "subdomain": _subdomain,
}
"""The worst first: where requests run short, what matters least is left out."""
_FIXED = {"slash", "null", "plain"}


def disguised(guise: str, origin: str, word: str) -> str:
    """An origin in a guise of the declared one; "" where that has no such likeness.

    ``word`` makes it up; its last letter is one of a, b, c.
    """
    try:
        return GUISES[guise](urlsplit(origin), word)
    except ValueError:  # the declared one is no URL, or its port no number
        return ""


async def strangers(
    prober: Prober, tried: Exchange, declared: Iterable[str], word: str, most: int
) -> list[Exchange]:
    """At most ``most`` requests, one for each guise, and further ones where one is let in.

    ``tried`` is the declared exchange that they imitate, ``declared`` are origins that are known.
    """
    found: list[Exchange] = []
    known, admitted = set(declared), is_admitted(tried)
    model = msgspec.structs.replace(tried, preflight=None, answers=(), samples=())
    for guise in GUISES:
        if guise == "slash" and admitted:
            continue
        for letter in "a" if guise in _FIXED else "abc":
            origin = disguised(guise, model.origin, word + letter)
            if not origin or origin in known or len(found) >= most or prober.spent:
                break
            asked = msgspec.structs.replace(model, origin=origin, guise=guise, declared=False)
            # some servers answer otherwise to a cookie
            found.append(await prober.probed(asked, cookie=letter != "b" or guise != "any"))
            echoes = sum(echoed(one)[0] for one in found if one.guise == guise)
            if echoes != 1 or (letter == "b" and guise != "any"):
                break
        if "any" in let_in(found):
            break
    return found


def let_in(found: Sequence[Exchange]) -> dict[str, list[Exchange]]:
    """By guise, the strangers let in by their own names: two of them, where names can differ."""
    by_guise = {
        guise: [one for one in found if one.guise == guise and echoed(one)[0]] for guise in GUISES
    }
    return {
        guise: those
        for guise, those in by_guise.items()
        if len(those) >= (1 if guise in _FIXED else 2)
    }
