from collections.abc import Iterator

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Instance,
    Status,
    Step,
    check,
)
from backend_doctor.backends.settings.application import ApplicationSettings, Stated
from backend_doctor.backends.token.grants import Grants
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.times import leeway_of, span, unit_of
from backend_doctor.backends.token.words import advice


class _Measured(msgspec.Struct, frozen=True):
    """A lifetime that a token really has, right within ``error`` seconds."""

    kind: str
    seconds: float
    source: str
    error: float = 0.0


def _granted(grants: Grants, clocks: float) -> Iterator[_Measured]:
    login = "login of the test account"
    for kind, whole, left in (
        ("access", grants.granted_for, grants.lives),
        ("refresh", grants.refresh_granted_for, grants.refresh_lives),
    ):
        if whole is not None:
            yield _Measured(kind, whole, login)
        elif left is not None:
            yield _Measured(kind, left, login, clocks)
        elif kind == "access" and grants.expires_in is not None:
            yield _Measured(kind, grants.expires_in, f"{login}, expires_in")


def _sampled(sample: SampleToken) -> Iterator[_Measured]:
    exp, iat = sample.exp.seconds, sample.iat.seconds
    if not sample.readable or exp is None or iat is None or unit_of(exp, sample.observed):
        return
    kind = "refresh" if sample.refresh else "access"
    yield _Measured(kind, exp - iat, "sample token, decoded offline")


def _measured(grants: Grants | None, sample: SampleToken | None, clocks: float) -> list[_Measured]:
    """What a login gave, and else what the sample says: of each kind of token one."""
    found = [
        *(_granted(grants, clocks) if grants and not grants.problem else ()),
        *(_sampled(sample) if sample else ()),
    ]
    return list({one.kind: one for one in reversed(found) if one.seconds > 0}.values())


def _evidence(real: _Measured, stated: Stated, said: float) -> tuple[Evidence, ...]:
    return (
        Evidence(
            key=f"{real.kind}_lifetime_seconds",
            value=round(real.seconds),
            text=f"the {real.kind} token lives for {span(real.seconds)} ({real.seconds:.0f} s)",
            source=real.source,
        ),
        Evidence(
            key=stated.key,
            value=said,
            text=f"{stated.place}: {stated.key} is {span(said)} ({said:.0f} s)",
            source="settings",
        ),
    )


def _otherwise(real: _Measured, stated: Stated, said: float) -> Finding:
    meaning = (
        "users are logged out before the settings say so"
        if real.seconds < said
        else "a stolen token serves longer than the settings say"
    )
    return Finding(
        status=Status.WARNING,
        summary=f"The {real.kind} token lives for {span(real.seconds)}, and {stated.key} says "
        f"{span(said)} ({stated.place}).",
        evidence=_evidence(real, stated, said),
        cause=Cause(
            label="token.lifetime_not_as_configured",
            confidence=Confidence.LIKELY,
            because=f"{meaning}: the issuer was not restarted since, reads another file or a "
            "variable above it, or has a number of its own in the code",
        ),
        remedies=(
            advice(
                f"Search the issuer's source for timedelta( and {stated.key.rpartition('.')[2]}.",
                "says what really sets exp",
                Step.CONFIRM,
            ),
            advice(
                "Restart the issuer with these settings, and take exp from them alone.",
                "tokens from then on live as the settings say; those already issued do not change",
            ),
        ),
    )


def _session(real: _Measured, stated: Stated, said: float) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"Sessions are kept {span(said)} ({stated.place}), and the access token that "
        f"refers to them lives for {span(real.seconds)}.",
        evidence=_evidence(real, stated, said),
        cause=Cause(
            label="token.session_store_expiry",
            confidence=Confidence.LIKELY,
            because="the session is gone from the store while its token still looks valid, so "
            "users are logged out in the midst of their work",
        ),
        remedies=(
            advice(
                f"{stated.key.rpartition('.')[2]}: at least {span(real.seconds)}",
                "sessions outlast their tokens; the store holds more of them",
            ),
        ),
    )


def _judged(
    real: _Measured, settings: ApplicationSettings, seconds: float, percent: float
) -> Iterator[Finding | None]:
    """A finding for each setting that it contradicts, None for each that it agrees with."""
    said = settings.seconds(f"{real.kind}_token")
    if said is not None and said > 0:
        allowed = max(seconds, said * percent / 100) + real.error
        differs = abs(real.seconds - said) > allowed
        yield _otherwise(real, settings.values[f"{real.kind}_token"], said) if differs else None
    session = settings.seconds("session")
    if real.kind == "access" and session is not None and session > 0:
        outlives = real.seconds > session + max(seconds, session * percent / 100) + real.error
        yield _session(real, settings.values["session"], session) if outlives else None


@check
def configured_lifetime(
    grants: Grants | None,
    sample: SampleToken | None,
    everything: Each[ApplicationSettings],
    instance: Instance,
    *,
    tolerance_seconds: float = 5.0,
    tolerance_percent: float = 1.0,
) -> Iterator[Finding]:
    """Tokens live longer or shorter than the application's settings say.

    Compares what a login gives (only with --login), else the sample, with the service's settings;
    the greater tolerance counts. Where a token has no iat, our clock tells its lifetime, and the
    declared leeway is added.
    """
    stated = [one for one in everything.values() if isinstance(one, ApplicationSettings)]
    measured = _measured(grants, sample, float(leeway_of(instance)))
    compared = [
        found
        for real in measured
        for settings in stated
        for found in _judged(real, settings, tolerance_seconds, tolerance_percent)
    ]
    if not compared:
        raise nothing_to_judge(
            "no token with a lifetime, or no settings of the same service that state one"
        )
    findings = [found for found in compared if found is not None]
    yield from findings
    if not findings:
        spoken = ", ".join(f"{one.kind} {span(one.seconds)}" for one in measured)
        yield Finding(
            status=Status.OK, summary=f"Tokens live as long as the settings say: {spoken}."
        )
