"""What it means that a made-up origin is let in: one row for each guise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend_doctor.backends.cors.exchanges import Exchange
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.cors.strangers import let_in
from backend_doctor.backends.cors.verdicts import by_wildcard, echoed, is_admitted, open_to_all
from backend_doctor.model import Cause, Confidence, Status


@dataclass(frozen=True)
class Hole:
    """A way in. ``guarded`` is how bad it is with credentials, ``public`` without; None for what
    is harmless where nothing depends on who asks, or from where. ``cure`` names the recipe."""

    label: str
    cure: str
    because: str
    guarded: Status | None = Status.CRITICAL
    public: Status | None = None

    @property
    def cause(self) -> Cause:
        """As a finding names it."""
        return Cause(label=self.label, confidence=Confidence.CERTAIN, because=self.because)


_PATTERN = "cors.origin_pattern_hole", "pattern"
HOLES = {
    "any": Hole(
        "cors.reflects_any_origin",
        "echo",
        "whatever origin asks is allowed, cookies included: any site can act as a signed-in user",
    ),
    "null": Hole(
        "cors.null_origin_allowed",
        "null",
        "`null` is allowed, and any site can send it from a sandboxed frame",
    ),
    "prefix": Hole(
        *_PATTERN,
        "the pattern of allowed origins has no end: a domain that begins like an allowed one fits",
        public=Status.WARNING,
    ),
    "suffix": Hole(
        *_PATTERN,
        "the pattern of allowed origins has no start: a domain that ends like an allowed one fits",
        public=Status.WARNING,
    ),
    "dot": Hole(
        *_PATTERN,
        "a dot in the pattern of allowed origins is not escaped, so that any letter fits there",
    ),
    "substring": Hole(
        "cors.origins_not_a_list",
        "string",
        "parts of an allowed origin are let in: the list of origins is given as a string, in "
        "which any piece of it is found",
        public=Status.WARNING,
    ),
    "plain": Hole(
        "cors.plain_http_origin_allowed",
        "plain",
        "the plain http form of an https origin is allowed: whoever sits in the same network can "
        "write such pages, and reads as the signed-in user",
        guarded=Status.WARNING,
    ),
    "subdomain": Hole(
        "cors.origin_pattern_hole",
        "pattern",
        "any name beneath the domain is allowed: a forgotten one that another takes over, too",
        guarded=None,
    ),
}
"""OWASP API8:2023 (security misconfiguration); the severities are those of an attack that needs
nothing (critical), or a place in the network (warning)."""
_WILDCARD = Hole(
    "cors.wildcard_with_credentials",
    "echo",
    "allow_origins=['*'] together with allow_credentials: the server then lets in every origin by "
    "its name, and any site can act as a signed-in user",
)
_REFUSED = Hole(
    "cors.reflects_any_origin",
    "echo",
    "an origin that the configuration says must be refused is allowed to read",
    public=Status.WARNING,
)


def holes(seen: Preflights) -> Iterator[tuple[Hole, list[Exchange]]]:
    """The ways in that were found, with the origins that took them; the worst first."""
    refused = [one for one in seen.refused if echoed(one)[0] or open_to_all(one)]
    found = let_in(seen.strangers)
    if "any" in found and has_credentials(found["any"]):
        everybody = refused + found.pop("any")
        known = [one for one in seen.exchanges if one.declared]
        yield (_WILDCARD if by_wildcard(known, everybody) else HOLES["any"]), everybody
    elif refused:
        yield _REFUSED, refused
    for guise, intruders in found.items():
        # where the list has http by mistake, https is shut out, which says more
        listed = guise != "plain" or any(is_admitted(one) for one in seen.exchanges)
        if guise in HOLES and listed:
            yield HOLES[guise], intruders


def has_credentials(intruders: Sequence[Exchange]) -> bool:
    """Whether one of them may send cookies along."""
    return any(echoed(one)[1] for one in intruders)


def severity(hole: Hole, intruders: Sequence[Exchange]) -> Status | None:
    """How bad it is; None for advice."""
    return hole.guarded if has_credentials(intruders) else hole.public
