"""The measured numbers behind a verdict on a process, in words."""

from collections.abc import Iterator

from backend_doctor.backends.process.limits import MemoryLimit, MemoryLimits
from backend_doctor.backends.process.samples import MemorySamples
from backend_doctor.backends.process.stacks import Activity
from backend_doctor.backends.process.verdict import Judged, Stage, Verdict
from backend_doctor.backends.process.words import size, span, who
from backend_doctor.model import Evidence

# the machine's memory is this application's affair only if it has a good part of it
_PART_OF_MACHINE = 0.25


def rate(verdict: Verdict) -> str:
    """How fast memory grows, and how long that was seen."""
    trend = verdict.trend
    return f"{size(trend.rate)}/min over {span(trend.seconds)}"


def trend_evidence(judged: Judged) -> Iterator[Evidence]:
    """What of the process rises, each with its rate and the bounds of that."""
    for verdict, what, unit in (
        (judged.memory, "memory", "bytes"),
        (judged.threads, "threads", "threads"),
        (judged.files, "open files", "files"),
    ):
        if verdict is None or verdict.stage < Stage.GROWING:
            continue
        trend = verdict.trend
        bytes_ = unit == "bytes"
        speed, low, high, grown = (
            size(value) if bytes_ else f"{value:.1f}"
            for value in (trend.rate, trend.lower, trend.upper, trend.growth)
        )
        yield Evidence(
            key=f"{unit}_per_minute",
            value=round(trend.rate, 1),
            text=f"{what} of {who(verdict.member)}: {grown} more in {span(trend.seconds)}, "
            f"{speed}/min ({low} to {high})",
            source="/proc/PID/status, RssAnon" if bytes_ else "/proc/PID",
        )


def other_evidence(judged: list[Judged]) -> Iterator[Evidence]:
    """The other processes of the application that grow."""
    rising = [one for one in judged[1:] if one.memory.stage >= Stage.GROWING]
    if rising:
        yield Evidence(
            key="other_processes_growing",
            value=len(rising),
            text="growing too: "
            + ", ".join(f"{who(one.memory.member)} {rate(one.memory)}" for one in rising[:4]),
            source="/proc/PID/status, RssAnon",
        )


def stack_evidence(activities: tuple[Activity, ...]) -> Iterator[Evidence]:
    """Where the threads stood."""
    for activity in activities:
        places = ", ".join(f"{place} in {count}" for place, count in activity.places)
        if not places:
            continue
        thread = "event loop" if activity.loop else "main thread"
        verb = "did not wait for events" if activity.loop else "was at work or waited"
        yield Evidence(
            key="dumps_busy",
            value=activity.busy,
            text=f"{who(activity.member)}: its {thread} {verb} in {activity.busy} of "
            f"{activity.dumps} dumps: {places}",
            source="py-spy dump --nonblocking",
        )


def threatened(limits: MemoryLimits, samples: MemorySamples) -> MemoryLimit | None:
    """The tightest limit that is this application's affair."""
    own = sum(series.samples[-1].rss for series in samples.series)
    for limit in limits.limits:
        if limit.kind != "machine" or own >= _PART_OF_MACHINE * limit.limit:
            return limit
    return None


def seconds_left(verdict: Verdict, limit: MemoryLimit | None) -> tuple[float, float, float] | None:
    """Seconds until the limit at the measured rate, and at its upper and lower bound."""
    trend = verdict.trend
    if limit is None or not verdict.rising or trend.lower <= 0:
        return None
    room = max(0, limit.limit - limit.used) * 60
    return room / trend.rate, room / trend.upper, room / trend.lower


def left_evidence(verdict: Verdict, limit: MemoryLimit | None) -> Iterator[Evidence]:
    """When the limit is reached."""
    left = seconds_left(verdict, limit)
    if left and limit:
        middle, soonest, latest = left
        yield Evidence(
            key="seconds_to_limit",
            value=round(middle),
            text=f"at this rate {size(limit.limit)} are reached in {span(middle)} "
            f"({span(soonest)} to {span(latest)})",
            source=limit.source,
        )
