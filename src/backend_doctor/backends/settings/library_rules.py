"""Libraries of tokens and CORS with known flaws: what is wrong, since when, and who says so."""

import re

import msgspec

_RELEASE = re.compile(r"v?(?:[0-9]{1,9}!)?([0-9]{1,9}(?:\.[0-9]{1,9})*)")


class Flaw(msgspec.Struct, frozen=True):
    """One row: releases from ``since`` to before ``fixed`` have it; "" is ever since, and never
    fixed. ``source`` is an advisory, or what was measured."""

    library: str
    fixed: str
    what: str
    source: str
    since: str = ""

    def concerns(self, version: str) -> bool:
        """Whether a release has it; "" stands for one that is not known."""
        if not self.fixed:
            return True
        found = release(version)
        return bool(found) and release(self.since) <= found < release(self.fixed)


FLAWS = (
    Flaw(
        "python-jose",
        "3.4.0",
        "takes a public key for a shared secret, so that anybody can sign",
        "CVE-2024-33663",
    ),
    Flaw(
        "python-jose",
        "3.4.0",
        "lets a small encrypted token unpack to one that fills the memory",
        "CVE-2024-33664",
    ),
    Flaw(
        "python-jose",
        "",
        "needs ecdsa, whose signing leaks its key by timing and which will not be mended",
        "CVE-2024-23342",
    ),
    Flaw(
        "python-jose",
        "",
        "accepts a token whose crit header it does not understand (RFC 7515, 4.1.11)",
        "measured with 3.5.0, the last release",
    ),
    Flaw(
        "pyjwt",
        "2.4.0",
        "takes a public key for a shared secret where algorithms are not named one by one",
        "CVE-2022-29217",
        since="1.5.0",
    ),
    Flaw(
        "pyjwt",
        "2.10.1",
        "accepts an issuer that is a mere part of the expected one",
        "CVE-2024-53861",
        since="2.10.0",
    ),
    Flaw(
        "pyjwt",
        "2.12.0",
        "accepts a token whose crit header it does not understand",
        "CVE-2026-32597",
    ),
    Flaw("pyjwt", "2.13.0", "takes the text of a JWK for a shared secret", "CVE-2026-48526"),
    Flaw(
        "pyjwt",
        "2.14.0",
        "takes a public key in an unusual PEM form for a shared secret",
        "CVE-2026-102268",
    ),
    Flaw("joserfc", "1.6.8", "verifies with an empty shared secret", "CVE-2026-49852"),
    Flaw("joserfc", "1.7.3", "lets an issuer that is a list pass", "CVE-2026-75509"),
    Flaw(
        "flask-cors",
        "4.0.2",
        "always lets public pages ask a private network (Access-Control-Allow-Private-Network)",
        "CVE-2024-6221",
    ),
)
REPLACEMENTS = {"python-jose": "PyJWT[crypto]>=2.14.0"}
"""Libraries that have no sound release, and what to use instead."""
SPELLINGS = {"pyjwt": "PyJWT", "flask-cors": "Flask-CORS"}
"""How those are written that are not in lower case."""


def normal(name: str) -> str:
    """A library's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


KNOWN = frozenset(flaw.library for flaw in FLAWS)
"""Normal names of the libraries that the table judges."""


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version without zeros at the end; () for what is none."""
    match = _RELEASE.match(version)
    numbers = [int(number) for number in match[1].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
