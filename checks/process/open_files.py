from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Measure,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.process.remedies import close_files, list_files, longer, restart
from backend_doctor.backends.process.samples import MemorySamples
from backend_doctor.backends.process.verdict import (
    CERTAIN_SECONDS,
    LIKELY_SECONDS,
    Judged,
    Stage,
    Verdict,
    judge_all,
)
from backend_doctor.backends.process.words import span, who


def _share(judged: Judged) -> float:
    limit = judged.series.file_limit
    return judged.files.last / limit if judged.files and limit else 0.0


def _rank(judged: Judged) -> tuple[float, tuple[int, float, float]]:
    rank = judged.files.rank if judged.files else (0, 0.0, 0.0)
    return (max(0.0, _share(judged) - 0.5), rank)


def _cause(verdict: Verdict, near: bool) -> Cause | None:
    trend = verdict.trend
    rises = verdict.stage >= Stage.GROWING
    if verdict.rising or (near and rises):
        sure = verdict.stage is Stage.CERTAIN
        return Cause(
            label="fd.leak",
            confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
            because=f"open files rise by {trend.rate:.1f} a minute, steadily, for "
            f"{span(trend.seconds)}: something opens and does not close",
        )
    if near:
        return Cause(
            label="fd.near_limit",
            confidence=Confidence.CERTAIN,
            because="the limit on open files is nearly used up, and the number was not seen to "
            "rise: the limit is low for this load",
        )
    return None


def _evidence(judged: Judged, verdict: Verdict) -> Iterator[Evidence]:
    limit = judged.series.file_limit
    of = f" of {limit}" if limit else ", without a limit"
    yield Evidence(
        key="open_files",
        value=int(verdict.last),
        text=f"{who(verdict.member)} has {verdict.last:.0f} files open{of}",
        source="/proc/PID/fd, /proc/PID/limits",
    )
    if verdict.stage >= Stage.GROWING:
        trend = verdict.trend
        yield Evidence(
            key="open_files_per_minute",
            value=round(trend.rate, 2),
            text=f"{trend.growth:.0f} more in {span(trend.seconds)}: {trend.rate:.1f} a minute "
            f"({trend.lower:.1f} to {trend.upper:.1f})",
            source="samples",
        )


def _summary(judged: Judged, verdict: Verdict) -> str:
    limit = judged.series.file_limit
    text = f"{who(verdict.member)} has {verdict.last:.0f} files open"
    text += f" of {limit}" if limit else ""
    if verdict.rising:
        text += f", {verdict.trend.growth:.0f} more than {span(verdict.trend.seconds)} ago"
    return f"{text[:1].upper()}{text[1:]}."


def _measure(judged: Judged, verdict: Verdict, warning: float, critical: float) -> Measure:
    limit = judged.series.file_limit
    return Measure(
        name="open_files",
        value=verdict.last,
        warning=int(warning * limit) if limit else None,
        critical=int(critical * limit) if limit else None,
        maximum=limit,
    )


@check
def open_files(
    samples: MemorySamples,
    instance: Instance,
    *,
    warning: float = 0.8,
    critical: float = 0.9,
    likely_after: float = LIKELY_SECONDS,
    certain_after: float = CERTAIN_SECONDS,
) -> Iterator[Finding]:
    """Open files and sockets pile up, or come near the process's limit.

    ``warning`` and ``critical`` are shares of the limit; a steady rise is told after
    ``likely_after`` seconds at the earliest.
    """
    judged = max(judge_all(samples, likely_after, certain_after), key=_rank)
    verdict = judged.files
    if verdict is None:
        yield Finding(
            status=Status.UNKNOWN,
            summary=f"The open files of {who(judged.series.member)} may not be counted: run this "
            f"as {judged.series.member.user} or root.",
        )
        return
    share = _share(judged)
    near = share >= warning
    notes: tuple[str, ...] = ()
    if verdict.stage is Stage.GROWING:
        notes = (
            f"open files rise by {verdict.trend.rate:.0f} a minute over "
            f"{span(verdict.trend.seconds)}: too short to tell; --for 10m",
        )
    status = Status.WARNING if near or verdict.rising else Status.OK
    alarming = status is Status.WARNING
    remedies = (restart(verdict.member), list_files(verdict.member), close_files())
    yield Finding(
        status=Status.CRITICAL if share >= critical else status,
        summary=_summary(judged, verdict),
        evidence=tuple(_evidence(judged, verdict)),
        cause=_cause(verdict, near),
        remedies=(*remedies, longer(instance, "1h")) if alarming else (),
        explains=("fd.near_limit",) if alarming else (),
        subjects=(Subject(kind="pid", value=str(verdict.member.pid)),),
        measures=(_measure(judged, verdict, warning, critical),),
        notes=notes,
    )
