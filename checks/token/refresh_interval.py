from collections.abc import Iterator

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Status,
    Step,
    check,
)
from backend_doctor.backends.token.sample import SampleToken, nothing_to_judge
from backend_doctor.backends.token.times import span, unit_of
from backend_doctor.backends.token.words import advice, evidence


def _too_late(lives: float, interval: int, leeway: int) -> Finding:
    forgiven = interval < lives + leeway
    summary = f"Clients renew every {span(interval)}, but the sample token lives for {span(lives)}"
    return Finding(
        status=Status.WARNING if forgiven else Status.CRITICAL,
        summary=f"{summary}; only the leeway of {span(leeway)} hides it."
        if forgiven
        else f"{summary}: users are logged out in between.",
        evidence=(
            evidence("lifetime_seconds", lives, f"{span(lives)} from iat to exp"),
            Evidence(
                key="refresh_interval_seconds",
                value=interval,
                text=f"clients renew every {span(interval)}",
                source="declared refresh_interval",
            ),
        ),
        cause=Cause(
            label="token.ttl_shorter_than_refresh",
            confidence=Confidence.CERTAIN,
            because="the token is over before the client asks for the next one, so the requests "
            "in between get a 401",
        ),
        remedies=(
            advice(
                f"setInterval(refresh, {max(1, int(lives * 0.7))} * 1000)",
                "clients renew when 70 % of the lifetime is over; more refreshes per hour",
            ),
            advice(
                "Renew once more when a request gets a 401, and only one refresh at a time.",
                "a laptop that slept through the interval stays logged in",
                Step.PREVENT,
            ),
        ),
    )


@check
def refresh_interval(sample: SampleToken, instance: Instance) -> Iterator[Finding]:
    """Clients renew their token later than it lives, so users are logged out.

    Compares exp less iat with the declared ``refresh_interval``, in seconds.
    """
    interval = instance.number("refresh_interval")
    if interval is None or not sample.readable or sample.refresh:
        raise nothing_to_judge("no refresh_interval is declared, or the sample is no access token")
    exp, iat = sample.exp.seconds, sample.iat.seconds
    if exp is None or unit_of(exp, sample.observed):
        raise nothing_to_judge("the sample has no exp that can be compared")
    if iat is None:
        raise Absent("the sample has no iat: how long it lives cannot be told")
    lives = exp - iat
    if lives <= 0:
        raise nothing_to_judge("the sample is never valid")
    if interval >= lives:
        yield _too_late(lives, interval, instance.number("leeway") or 0)
        return
    yield Finding(
        status=Status.OK,
        summary=f"Clients renew every {span(interval)}; the sample lives for {span(lives)}.",
    )
