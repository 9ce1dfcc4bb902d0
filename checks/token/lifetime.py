from collections.abc import Iterator

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Finding,
    Instance,
    Measure,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.token.clocks import Clocks
from backend_doctor.backends.token.decoding import Claim
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.times import YEAR, leeway_of, span, unit_of
from backend_doctor.backends.token.words import advice, evidence

_DURATION = 10 * YEAR
_FORMS = {
    "numeric_text": "a number in quotes, which some libraries take and others refuse",
    "text": "text",
    "boolean": "true or false",
    "null": "null",
    "list": "a list",
    "object": "an object",
    "not_finite": "NaN or Infinity, which JSON does not have",
    "too_large": "a number so large that it is no moment in any unit",
}


def _set_expiry(effect: str) -> Remedy:
    return advice('"exp": datetime.now(UTC) + timedelta(minutes=15)', effect)


def _no_expiry(long_lived: bool) -> Finding:
    return Finding(
        status=Status.WARNING if long_lived else Status.CRITICAL,
        summary="The sample token has no exp: it is valid for ever.",
        evidence=(evidence("exp", "missing", "the payload has no exp claim"),),
        cause=Cause(
            label="token.no_expiry",
            confidence=Confidence.CERTAIN,
            because="the issuer sets no expiry, so a stolen token can only be stopped by changing "
            "the key",
        ),
        remedies=(_set_expiry("gives each new token an end; those already issued keep none"),),
    )


def _not_a_number(form: str) -> Finding:
    said = _FORMS[form]
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token's exp is no number of seconds but {said}.",
        evidence=(evidence("exp", form, f"exp is {said}"),),
        cause=Cause(
            label="token.exp_not_a_number",
            confidence=Confidence.CERTAIN,
            because="exp must be a number of seconds since 1970 (RFC 7519); verifiers refuse "
            "anything else, or each reads it in its own way",
        ),
        remedies=(_set_expiry("a datetime in UTC, which the library turns into seconds"),),
    )


def _units(sample: SampleToken, now: float) -> Iterator[tuple[str, float, str]]:
    claims: dict[str, Claim] = {"exp": sample.exp, "iat": sample.iat, "nbf": sample.nbf}
    for name, claim in claims.items():
        unit = unit_of(claim.value, now) if claim.form == "number" else ""
        if unit:
            yield name, claim.value, unit


def _wrong_unit(found: list[tuple[str, float, str]]) -> Finding:
    names = " and ".join(name for name, _, _ in found)
    unit = found[0][2]
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token's {names} counts {unit}, not seconds: verifiers read a moment "
        "tens of thousands of years away.",
        evidence=tuple(
            evidence(name, value, f"{name} is {value:.0f}: near the present only in {unit}")
            for name, value, unit in found
        ),
        cause=Cause(
            label="token.exp_unit",
            confidence=Confidence.CERTAIN,
            because=f"the issuer writes {unit} since 1970, a JWT counts seconds; with exp so, the "
            "token never expires",
        ),
        remedies=(_set_expiry("a datetime in UTC, which the library turns into seconds"),),
    )


def _seconds_left(exp: float, now: float) -> Measure:
    return Measure(name="token_seconds_left", value=exp - now, unit="s", minimum=None)


def _expired(exp: float, now: float) -> Finding:
    duration = exp < _DURATION
    late = f"{span(now - exp)} ago" if not duration else f"in 1970: exp is {exp:.0f}"
    because = (
        "the number looks like a duration; exp is a moment, the present plus that duration"
        if duration
        else "the token's time is over, so every request that carries it gets a 401"
    )
    fresh = advice(
        "Log in anew, declare that token as the sample, and check again.",
        "tells an old sample from tokens that are issued expired",
        Step.CONFIRM,
    )
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token expired {late}.",
        evidence=(evidence("exp", exp, f"exp is {exp:.0f}, the time is {now:.0f}"),),
        cause=Cause(label="token.expired", confidence=Confidence.CERTAIN, because=because),
        remedies=(_set_expiry("the present plus the lifetime"),) if duration else (fresh,),
        measures=(_seconds_left(exp, now),),
    )


def _starts_after(sample: SampleToken, exp: float) -> tuple[str, float] | None:
    """The claim that begins where the token has ended, unless exp is a duration."""
    starts = {"iat": sample.iat.seconds, "nbf": sample.nbf.seconds}
    later = {name: start for name, start in starts.items() if start is not None and start >= exp}
    return next(iter(later.items()), None) if exp >= _DURATION else None


def _never_valid(name: str, start: float, exp: float) -> Finding:
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample token's exp is not after its {name}: it is never valid.",
        evidence=(
            evidence("exp", exp, f"exp is {exp:.0f}"),
            evidence(name, start, f"{name} is {start:.0f}, {span(start - exp)} later"),
        ),
        cause=Cause(
            label="token.never_valid",
            confidence=Confidence.CERTAIN,
            because=f"exp is not after {name}: the issuer takes the two from different clocks or "
            "time zones, or adds a lifetime of nothing",
        ),
        remedies=(_set_expiry("the same aware datetime for iat, nbf and exp"),),
    )


def _too_short(lifetime: float, least: float, status: Status, since: str) -> Finding:
    return Finding(
        status=status,
        summary=f"The sample token lives for {span(lifetime)} {since}: clients are logged out "
        "almost at once.",
        evidence=(
            evidence("lifetime", lifetime, f"{span(lifetime)} {since}; {span(least)} is short"),
        ),
        cause=Cause(
            label="token.expires_too_soon",
            confidence=Confidence.LIKELY,
            because="the lifetime is so short that a slow request, or clocks that differ a little, "
            "end it before use",
        ),
        remedies=(_set_expiry("lets a token outlive slow requests and small clock differences"),),
    )


def _too_long(lifetime: float, most: float, status: Status, since: str) -> Finding:
    return Finding(
        status=status,
        summary=f"The sample token lives for {span(lifetime)} {since}; {span(most)} is the most "
        "that is expected.",
        evidence=(evidence("lifetime", lifetime, f"{span(lifetime)} {since}"),),
        cause=Cause(
            label="token.lifetime_too_long",
            confidence=Confidence.CERTAIN,
            because="whoever steals such a token can use it for all that time; a logout or a "
            "changed password does not end it",
        ),
        remedies=(
            _set_expiry("short access tokens, renewed by a refresh token; users notice nothing"),
            Remedy(
                step=Step.PREVENT,
                command="token: {long_lived: true}",
                effect="only for tokens between services that live long by policy",
                language="yaml",
            ),
        ),
    )


@check
def lifetime(
    sample: SampleToken,
    clocks: Clocks | None,
    instance: Instance,
    *,
    shortest_warning: float = 300.0,
    shortest_critical: float = 60.0,
    longest_warning: float = 3_600.0,
    longest_critical: float = 86_400.0,
    longest_refresh: float = 2_592_000.0,
) -> Iterator[Finding]:
    """A token ends too late, too soon, never, or in a way that verifiers read differently.

    All limits are seconds: the lifetime of an access token (exp less iat, or what is left of it
    without iat) against the ``shortest`` and ``longest``; a refresh token against
    ``longest_refresh``. The time is that of the declared hosts where their clocks agree.
    """
    if sample.encrypted:
        raise Absent("the sample is encrypted (JWE): its claims cannot be read offline")
    if sample.problem:
        raise nothing_to_judge("the sample's claims cannot be read")
    long_lived = instance.settings.get("long_lived") is True
    now = sample.observed + (clocks.correction if clocks else 0.0)
    exp = sample.exp.seconds
    wrong_units = list(_units(sample, now))
    if sample.exp.form == "missing":
        yield _no_expiry(long_lived)
    elif exp is None:
        yield _not_a_number(sample.exp.form)
    elif wrong_units:
        yield _wrong_unit(wrong_units)
    elif later := _starts_after(sample, exp):
        yield _never_valid(*later, exp)
    elif now - leeway_of(instance) >= exp:
        yield _expired(exp, now)
    else:
        issued = sample.iat.seconds
        whole = exp - (now if issued is None else issued)
        since = "from now on" if issued is None else "from its issue"
        most = longest_refresh if sample.refresh else longest_warning
        if whole < shortest_warning:
            status = Status.CRITICAL if whole < shortest_critical else Status.WARNING
            yield _too_short(whole, shortest_warning, status, since)
        elif whole > most and not long_lived:
            critical = whole > longest_critical and not sample.refresh
            yield _too_long(whole, most, Status.CRITICAL if critical else Status.WARNING, since)
        else:
            policy = " by declared policy" if long_lived and whole > longest_warning else ""
            yield Finding(
                status=Status.OK,
                summary=f"The sample, {sample.words}, lives for {span(whole)} {since}{policy}.",
                measures=(_seconds_left(exp, now),),
            )
