from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Instance,
    Measure,
    Service,
    Status,
    check,
)
from backend_doctor.backends.http.answers import HealthAnswers
from backend_doctor.backends.http.remedies import set_clock

Bounds = tuple[float, float]


def _ahead(answers: HealthAnswers) -> Bounds | None:
    """The least and the most that all answers allow; None where they do not agree on one."""
    told = [sample.clock for sample in answers.samples if sample.clock is not None]
    if not told:
        return None
    least, most = max(low for low, _ in told), min(high for _, high in told)
    return (least, most) if least <= most else None


def _surely(bounds: Bounds) -> float:
    """The least that the clocks are apart, with its sign; 0 where they may be the same."""
    least, most = bounds
    return max(least, 0.0) or min(most, 0.0)


def _ours(apart: float, elsewhere: Iterable[HealthAnswers], limit: float) -> bool:
    """Whether another server's clock is as far from ours, so that ours is the one that is wrong."""
    found = [_surely(bounds) for answers in elsewhere if (bounds := _ahead(answers)) is not None]
    return any(abs(other) >= limit and abs(other - apart) < limit for other in found)


def _elsewhere(
    everyone: Each[HealthAnswers], instance: Instance, service: Service
) -> list[HealthAnswers]:
    """The answers of servers on other hosts."""
    found = [
        everyone.get(one.name)
        for one in service.instances
        if one.backend == instance.backend and one.host != instance.host
    ]
    return [one for one in found if isinstance(one, HealthAnswers)]


def _evidence(bounds: Bounds) -> Evidence:
    least, most = bounds
    return Evidence(
        key="clock_ahead_seconds",
        value=(round(least, 1), round(most, 1)),
        text=f"by its Date, the server's clock is between {least:+.1f} s and {most:+.1f} s from "
        "this machine's; a Date tells no less than 2 s",
        source="Date of the answers",
    )


def _skewed(bounds: Bounds, instance: Instance) -> Finding:
    side = "ahead of" if bounds[0] > 0 else "behind"
    return Finding(
        status=Status.WARNING,
        summary=f"The server's clock is {abs(sum(bounds)) / 2:.0f} s {side} this machine's.",
        evidence=(_evidence(bounds),),
        cause=Cause(
            label="http.clock_skew",
            confidence=Confidence.LIKELY,
            because="one of the two clocks is not kept right; tokens are then refused as not yet "
            "valid or end early, and logs do not fit together",
        ),
        remedies=set_clock(instance),
    )


@check
def clock(
    answers: HealthAnswers,
    everyone: Each[HealthAnswers],
    instance: Instance,
    service: Service,
    *,
    warning_seconds: float = 5.0,
) -> Iterator[Finding]:
    """The server's clock and ours differ by more than the Date of its answers leaves open.

    A Date is whole seconds, and some servers renew it late (1.7 s with uvicorn), so less than 2 s
    is never told; 5 s are more than a clock drifts that is kept right.
    """
    bounds = _ahead(answers)
    if bounds is None:
        summary = "No answer has a Date of its own: there is none, or it comes from a cache."
        yield Finding(status=Status.SKIPPED, summary=summary)
        return
    apart = _surely(bounds)
    elsewhere = _elsewhere(everyone, instance, service)
    measure = Measure(
        name="clock_difference_seconds", value=abs(apart), unit="s", warning=warning_seconds
    )
    wrong = abs(apart) >= warning_seconds
    if wrong and not _ours(apart, elsewhere, warning_seconds):
        yield replace(_skewed(bounds, instance), measures=(measure,))
        return
    note = "another server differs as much: it is this machine's clock that is wrong"
    agree = "The clocks agree, as far as a Date can tell."
    yield Finding(
        status=Status.OK,
        summary=f"The clocks differ by {abs(apart):.0f} s at least." if abs(apart) >= 2 else agree,
        evidence=(_evidence(bounds),),
        measures=(measure,),
        notes=(note,) if wrong else (),
    )
