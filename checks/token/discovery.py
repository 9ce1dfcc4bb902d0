from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.token.claims import Match
from backend_doctor.backends.token.discovery import Discovery
from backend_doctor.backends.token.sample import nothing_to_judge
from backend_doctor.backends.token.words import advice, ask_the_issuer

_DIFFERS: dict[Match, str] = {
    "slash": "differ only in a slash at the end",
    "case": "differ only in upper and lower case",
    "other": "are not the same",
}
_SOURCE = "discovery document, fetched by GET"


def _unusable(found: Discovery) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"The declared discovery document cannot be used: {found.problem}.",
        evidence=(
            Evidence(key="problem", value=found.problem, text=found.problem, source=_SOURCE),
        ),
        cause=Cause(
            label="token.discovery_unusable",
            confidence=Confidence.LIKELY,
            because="libraries that configure themselves by it fail at their start, or at the "
            "next change of a key",
        ),
        remedies=(ask_the_issuer(found.url),),
    )


def _mismatch(match: Match, both: str, status: Status) -> Finding:
    difference = _DIFFERS[match]
    return Finding(
        status=status,
        summary=f"{both} {difference}.",
        evidence=(
            Evidence(key="issuer", value=match, text=f"{both} {difference}", source=_SOURCE),
        ),
        cause=Cause(
            label="token.issuer",
            confidence=Confidence.LIKELY,
            because="verifiers compare iss letter by letter and refuse any other with a 401",
        ),
        remedies=(
            advice(
                "Set the issuer's public URL in the issuer, and the same text, letter by letter, "
                "in every verifier.",
                "tokens issued from then on are accepted; check first that it is the right "
                "environment",
            ),
        ),
        subjects=(Subject(kind="setting", value="issuer"),),
    )


def _mismatches(found: Discovery) -> Iterator[Finding]:
    if found.issuer in _DIFFERS:
        both = "The declared issuer and that of the discovery document"
        yield _mismatch(found.issuer, both, Status.CRITICAL)
    elif found.issuer == "undeclared" and found.sample in _DIFFERS:
        both = "The sample's iss and the issuer of the discovery document"
        yield _mismatch(found.sample, both, Status.CRITICAL)
    elif found.place in ("case", "other"):
        both = "The issuer in the discovery document and the address of that document"
        yield _mismatch(found.place, both, Status.WARNING)


@check
def discovery(found: Discovery) -> Iterator[Finding]:
    """The issuer's discovery document names another issuer than verifiers expect.

    Asked is the declared address, or that of a declared issuer on a host that is declared too.
    """
    if found.problem and not found.declared:
        raise nothing_to_judge(f"the issuer publishes no discovery document: {found.problem}")
    if found.problem:
        yield _unusable(found)
        return
    mismatches = tuple(_mismatches(found))
    yield from mismatches
    if not mismatches:
        elsewhere = ("its key set is on another host, and was not fetched: declare jwks",)
        yield Finding(
            status=Status.OK,
            summary="The discovery document names the issuer that is expected.",
            notes=elsewhere if found.elsewhere else (),
        )
