from collections.abc import Iterator

from msgspec.structs import replace

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Measure,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.token.clocks import Clocks, Gap
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.times import leeway_of, span, unit_of

_DAY = 86_400.0
_SOURCE = "sample token, decoded offline"
_REMEDIES = (
    Remedy(
        step=Step.CONFIRM,
        command="timedatectl show -p NTP -p NTPSynchronized -p TimeUSec",
        effect="on each host: whether its clock is kept right, and what time it is there",
        language="sh",
    ),
    Remedy(
        step=Step.CURE,
        command="sudo timedatectl set-ntp true",
        effect="sets the clock of that host right, by a jump where it is far off",
        changes_state=True,
        language="sh",
    ),
    Remedy(
        step=Step.PREVENT,
        command='jwt.decode(token, key, algorithms=["HS256"], leeway=60)',
        effect="forgives small differences; PyJWT forgives none unless told to",
        language="text",
    ),
)


def _ahead(sample: SampleToken | None, now: float) -> dict[str, float]:
    """Seconds by which iat and nbf lie in the future; in other units than seconds, none."""
    if sample is None or not sample.readable:
        return {}
    claims = {"iat": sample.iat.seconds, "nbf": sample.nbf.seconds}
    return {
        name: moment - now
        for name, moment in claims.items()
        if moment is not None and not unit_of(moment, now)
    }


def _by_design(ahead: dict[str, float], leeway: int) -> bool:
    """Issued in the past, or a day ahead, and valid later: nobody's clock does that."""
    if ahead.get("nbf", 0.0) <= leeway:
        return False
    return ahead["iat"] <= leeway if "iat" in ahead else ahead["nbf"] > _DAY


def _zones(seconds: float) -> bool:
    """Whether a difference is a whole number of half hours, within half a minute."""
    halves = round(seconds / 1_800)
    return halves >= 1 and abs(seconds - halves * 1_800) <= 30


def _claims_evidence(ahead: dict[str, float], leeway: int) -> Iterator[Evidence]:
    for name, seconds in ahead.items():
        if seconds > leeway:
            yield Evidence(
                key=f"{name}_ahead_seconds",
                value=round(seconds, 1),
                text=f"{name} lies {span(seconds)} in the future; {leeway} s are forgiven",
                source=_SOURCE,
            )


def _gap_evidence(gap: Gap) -> Evidence:
    return Evidence(
        key="clock_gap_seconds",
        value=round(gap.seconds, 1),
        text=f"{gap.ahead} is {span(gap.seconds)} ahead of {gap.behind}, "
        f"give or take {gap.uncertainty:.1f} s",
        source="Date headers of both, asked by HEAD",
    )


def _skewed(evidence: tuple[Evidence, ...], gap: Gap | None, most: float) -> Finding:
    hosts = gap is not None and "this machine" not in (gap.ahead, gap.behind)
    because = "the clock of the issuer and that of the verifier differ by more than is forgiven"
    if gap is None and _zones(most):
        because = (
            "the issuer is a whole number of half hours ahead: local time that was taken for UTC "
            "is likelier than a clock that is wrong"
        )
    summary = (
        f"{gap.ahead} is {span(gap.seconds)} ahead of {gap.behind}: tokens are refused as not yet "
        "valid, or end early."
        if gap
        else f"The sample token was issued {span(most)} in the future: the issuer's clock is "
        "ahead, and verifiers refuse the token."
    )
    return Finding(
        status=Status.CRITICAL,
        summary=summary,
        evidence=evidence,
        cause=Cause(
            label="token.clock_skew",
            confidence=Confidence.CERTAIN if hosts else Confidence.LIKELY,
            because=because,
        ),
        remedies=_REMEDIES,
    )


def _not_yet(ahead: dict[str, float], leeway: int) -> Finding:
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token becomes valid only in {span(ahead['nbf'])}.",
        evidence=tuple(_claims_evidence({"nbf": ahead["nbf"]}, leeway)),
        cause=Cause(
            label="token.not_yet_valid",
            confidence=Confidence.CERTAIN,
            because="the issuer sets nbf later than iat; until then every request gets a 401",
        ),
        remedies=(
            Remedy(
                step=Step.CURE,
                command="Leave nbf out, or set it to the moment of issue.",
                effect="new tokens are valid at once",
                language="text",
            ),
        ),
    )


def _notes(clocks: Clocks | None, ahead: dict[str, float], leeway: int) -> Iterator[str]:
    for name, seconds in ahead.items():
        if 5 < seconds <= leeway:
            yield f"{name} lies {span(seconds)} in the future, within the {leeway} s forgiven"
    if clocks:
        yield from (f"no time could be read from {silent}" for silent in clocks.silent)
        if clocks.ours and clocks.correction and len(clocks.hosts) > 1:
            yield (
                f"this machine's own clock differs from all hosts by {span(clocks.ours.seconds)}; "
                "tokens were judged by theirs"
            )


@check
def clock_skew(
    sample: SampleToken | None, clocks: Clocks | None, instance: Instance
) -> Iterator[Finding]:
    """Tokens are refused although they are right: the clocks of issuer and verifier differ.

    More than the declared leeway (60 s unless declared) is critical: a token issued in the
    future, or two hosts whose Date headers surely differ by more.
    """
    if (sample is None or not sample.readable) and clocks is None:
        raise nothing_to_judge("there is neither a readable sample nor a host to ask the time")
    if (sample is None or not sample.readable) and clocks and not clocks.hosts:
        raise Absent(f"no time could be read from {', '.join(clocks.silent)}")
    leeway = leeway_of(instance)
    now = sample.observed + (clocks.correction if clocks else 0.0) if sample else 0.0
    ahead = _ahead(sample, now)
    gap = _gap(clocks, leeway)
    notes = tuple(_notes(clocks, ahead, leeway))
    most = max(ahead.values(), default=0.0)
    if _by_design(ahead, leeway):
        yield _not_yet(ahead, leeway)
        if gap is None:
            return
        ahead, most = {}, 0.0
    measures = tuple(_measure(clocks, leeway))
    if gap or most > leeway:
        evidence = (
            *([_gap_evidence(gap)] if gap else []),
            *_claims_evidence(ahead, leeway),
        )
        yield replace(_skewed(evidence, gap, most), notes=notes, measures=measures)
        return
    yield Finding(
        status=Status.OK,
        summary=f"No clock is off by more than the {leeway} s that are forgiven.",
        notes=notes,
        measures=measures,
    )


def _gap(clocks: Clocks | None, leeway: int) -> Gap | None:
    """The hosts that surely differ by more than is forgiven; a single one against ourselves."""
    if clocks is None:
        return None
    gap = clocks.widest or clocks.ours
    return gap if gap and gap.certain > leeway else None


def _measure(clocks: Clocks | None, leeway: int) -> Iterator[Measure]:
    gap = (clocks.widest or clocks.ours) if clocks else None
    if gap:
        yield Measure(
            name="clock_gap_seconds", value=round(gap.seconds, 3), unit="s", critical=leeway
        )
