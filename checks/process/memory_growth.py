from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Measure,
    Remedy,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.process.evidence import (
    left_evidence,
    other_evidence,
    rate,
    seconds_left,
    stack_evidence,
    threatened,
    trend_evidence,
)
from backend_doctor.backends.process.limits import MemoryLimit, MemoryLimits
from backend_doctor.backends.process.remedies import (
    attribute,
    bound,
    close_files,
    join_threads,
    list_files,
    longer,
    more_memory,
    recycle,
    restart,
)
from backend_doctor.backends.process.samples import MemorySamples
from backend_doctor.backends.process.stacks import Stacks
from backend_doctor.backends.process.verdict import (
    CERTAIN_SECONDS,
    LIKELY_SECONDS,
    Judged,
    Stage,
    judge_all,
)
from backend_doctor.backends.process.words import size, span, who


def _summary(judged: Judged, count: int) -> str:
    verdict = judged.memory
    name, now = who(verdict.member), size(verdict.last)
    over = span(verdict.trend.seconds)
    largest = f"; the largest of {count} processes" if count > 1 else ""
    texts = {
        Stage.TOO_FEW: f"{name} has {now}{largest}; seen for too short to tell a trend",
        Stage.STEADY: f"{name} has {now}, steady over {over}{largest}",
        Stage.WITH_LOAD: f"{name} has {now} and grew with its use of the processor: which of the "
        "two drives the other cannot be told",
        Stage.GROWING: f"{name} is growing {rate(verdict)}: too short to tell",
        Stage.LIKELY: f"{name} likely leaks: {now}, growing {rate(verdict)} without a break",
        Stage.CERTAIN: f"{name} leaks: {now}, growing {rate(verdict)} without a break",
    }
    return texts[verdict.stage]


def _cause(judged: Judged) -> Cause | None:
    """Only what outside evidence shows; of memory alone, why cannot be seen from outside."""
    sure = judged.memory.stage is Stage.CERTAIN
    confidence = Confidence.LIKELY if sure else Confidence.POSSIBLE
    if not judged.memory.rising:
        return None
    if judged.threads.rising:
        each = judged.threads.trend.rate
        return Cause(
            label="mem.thread_leak",
            confidence=confidence,
            because=f"threads rise with it, {each:.1f} a minute: each keeps its stack",
        )
    if judged.files and judged.files.rising:
        each = judged.files.trend.rate
        return Cause(
            label="fd.leak",
            confidence=confidence,
            because=f"open files rise with it, {each:.1f} a minute: each keeps its buffers",
        )
    return None


def _notes(judged: Judged, samples: MemorySamples, stacks: Stacks | None) -> Iterator[str]:
    verdict, trend = judged.memory, judged.memory.trend
    if verdict.stage in (Stage.GROWING, Stage.TOO_FEW):
        yield "a leak, a warm-up and a filling cache look alike for minutes; --for 10m"
    if verdict.stage is Stage.STEADY:
        smallest = size(trend.smallest)
        yield f"a leak of less than {smallest}/min would not show in {span(trend.seconds)}"
    if verdict.stage is Stage.WITH_LOAD:
        yield "sample again under an even load; --for 10m"
    if verdict.stage is Stage.STEADY and verdict.idle:
        yield "the process did next to nothing meanwhile, and a leak needs requests to show"
    if verdict.rising and _cause(judged) is None:
        yield "why it grows cannot be seen from outside"
    yield from (
        f"{who(series.member)} ended meanwhile" for series in samples.series if series.ended
    )
    yield from samples.notes
    yield from stacks.notes if stacks else ()


def _remedies(judged: Judged, instance: Instance) -> Iterator[Remedy]:
    member, cause = judged.memory.member, _cause(judged)
    yield restart(member)
    if cause and cause.label == "fd.leak":
        yield list_files(member)
        yield close_files()
    elif cause:
        yield join_threads()
    else:
        yield attribute(member)
        yield bound()
    if judged.memory.stage is not Stage.CERTAIN:
        yield longer(instance, "1h")
    yield recycle()


def _pids(samples: MemorySamples) -> tuple[Subject, ...]:
    return tuple(Subject(kind="pid", value=str(series.member.pid)) for series in samples.series)


def _near_limit(
    limit: MemoryLimit, judged: Judged, samples: MemorySamples, critical: float
) -> Finding:
    verdict = judged.memory
    grows = verdict.stage >= Stage.GROWING
    growth = f", growing {rate(verdict)}" if grows else ""
    what = {"cgroup": "the container's", "address_space": "the process's", "machine": "all"}
    return Finding(
        status=Status.CRITICAL if limit.share >= critical else Status.WARNING,
        summary=f"{limit.share:.0%} of {what[limit.kind]} memory is used: {size(limit.used)} of "
        f"{size(limit.limit)}{growth}.",
        evidence=(
            Evidence(
                key="memory_limit_share",
                value=round(limit.share, 4),
                text=f"{size(limit.used)} of {size(limit.limit)} are in use, cache that can be "
                "dropped left out",
                source=limit.source,
            ),
            *trend_evidence(judged),
        ),
        cause=Cause(
            label="mem.near_limit",
            confidence=Confidence.CERTAIN,
            because="beyond it allocations fail"
            if limit.kind == "address_space"
            else "beyond it the kernel kills a process",
        ),
        remedies=(more_memory(limit.source), restart(verdict.member), recycle()),
        subjects=_pids(samples),
    )


@check
def memory_growth(
    samples: MemorySamples,
    limits: MemoryLimits | None,
    stacks: Stacks | None,
    instance: Instance,
    *,
    warning: float = 0.8,
    critical: float = 0.9,
    likely_after: float = LIKELY_SECONDS,
    certain_after: float = CERTAIN_SECONDS,
) -> Iterator[Finding]:
    """Memory grows without end, or comes near its limit.

    ``warning`` and ``critical`` are shares of the tightest limit. A steady growth is called a
    likely leak after ``likely_after`` seconds and a leak after ``certain_after``.
    """
    everything = judge_all(samples, likely_after, certain_after)
    judged = everything[0]
    limit = threatened(limits, samples) if limits else None
    verdict = judged.memory
    left = seconds_left(verdict, limit)
    status = Status.WARNING if verdict.rising else Status.OK
    summary = _summary(judged, len(everything))
    yield Finding(
        status=Status.CRITICAL if left and left[0] < 3600 else status,
        summary=f"{summary[:1].upper()}{summary[1:]}.",
        evidence=(
            *trend_evidence(judged),
            *other_evidence(everything),
            *left_evidence(verdict, limit),
            *stack_evidence(stacks.activities if stacks else ()),
        ),
        cause=_cause(judged),
        remedies=tuple(_remedies(judged, instance)) if verdict.rising else (),
        explains=("mem.near_limit",) if verdict.rising else (),
        subjects=_pids(samples),
        measures=(
            Measure(name="memory_bytes", value=verdict.last, unit="B"),
            Measure(
                name="memory_growth_bytes_per_minute",
                value=round(verdict.trend.rate),
                unit="B",
                minimum=None,
            ),
        ),
        notes=tuple(_notes(judged, samples, stacks)),
    )
    if limit and limit.share >= warning:
        yield _near_limit(limit, judged, samples, critical)
