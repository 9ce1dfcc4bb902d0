"""What the samples of a process allow to be said, and how surely: the longer seen, the more."""

from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise

import msgspec

from backend_doctor.backends.process.connection import Member
from backend_doctor.backends.process.samples import EARLIER_SECONDS, MemorySamples, Sample, Series
from backend_doctor.backends.process.trend import (
    MEMORY,
    OPEN_FILES,
    THREADS,
    Answer,
    Scale,
    Trend,
    judge_trend,
    longest_window,
)

LIKELY_SECONDS = 600.0
"""Below ten minutes a warm-up or a filling cache looks like a leak in 5 of 10 cases."""
CERTAIN_SECONDS = 3600.0
"""Over an hour fewer than 1 in 100 of what only looks like a leak passes for one."""
_LENGTHS = (EARLIER_SECONDS, CERTAIN_SECONDS, 1800.0, LIKELY_SECONDS)
# the last sample of a stretch may come a little before its end
_ALMOST = 0.99
# processor time below this share of a core means that nothing was asked of the process
_IDLE = 0.001


class Stage(IntEnum):
    """How far a verdict goes, from nothing to a leak."""

    TOO_FEW = 0
    STEADY = 1
    WITH_LOAD = 2
    GROWING = 3
    LIKELY = 4
    CERTAIN = 5


class Verdict(msgspec.Struct, frozen=True):
    """Of one process and one kind of thing; ``last`` is how many bytes or things there are now.

    ``idle`` says that hardly any processor time was used in the window.
    """

    member: Member
    stage: Stage
    trend: Trend
    last: float
    idle: bool

    @property
    def rising(self) -> bool:
        """Whether it was seen to rise steadily for long enough to be told."""
        return self.stage >= Stage.LIKELY

    @property
    def rank(self) -> tuple[int, float, float]:
        """What to speak of first."""
        return (self.stage, self.trend.rate if self.stage >= Stage.GROWING else 0.0, self.last)


def window(series: Series) -> tuple[Sample, ...]:
    """The samples to judge: the longest stretch without gaps, else what this run has seen."""
    start = longest_window([sample.at for sample in series.samples], _LENGTHS)
    return series.samples[series.earlier if start is None else start :]


def _loads(samples: tuple[Sample, ...]) -> list[float | None]:
    rates: list[float | None] = [
        max(0.0, later.cpu - earlier.cpu) / (later.at - earlier.at)
        if later.at > earlier.at
        else None
        for earlier, later in pairwise(samples)
    ]
    return [None, *rates]


def _stage(trend: Trend, age: float, likely: float, certain: float) -> Stage:
    if trend.answer is not Answer.RISING:
        return {
            Answer.TOO_FEW: Stage.TOO_FEW,
            Answer.WITH_LOAD: Stage.WITH_LOAD,
        }.get(trend.answer, Stage.STEADY)
    seen = min(trend.seconds, age)
    if seen < _ALMOST * likely:
        return Stage.GROWING
    return Stage.LIKELY if seen < _ALMOST * certain else Stage.CERTAIN


def _verdict(
    series: Series,
    samples: tuple[Sample, ...],
    values: list[float],
    scale: Scale,
    ladder: tuple[float, float],
) -> Verdict:
    trend = judge_trend([one.at for one in samples], values, scale, _loads(samples))
    spent = samples[-1].cpu - samples[0].cpu
    idle = spent < _IDLE * max(trend.seconds, 1.0)
    return Verdict(series.member, _stage(trend, series.age, *ladder), trend, values[-1], idle)


class Judged(msgspec.Struct, frozen=True):
    """The verdicts on one process; ``files`` is None where they may not be counted."""

    series: Series
    memory: Verdict
    threads: Verdict
    files: Verdict | None


def judge_series(
    series: Series, likely: float = LIKELY_SECONDS, certain: float = CERTAIN_SECONDS
) -> Judged:
    """Memory, threads and open files of one process, each on its own."""
    samples, ladder = window(series), (likely, certain)
    counts = [one.files for one in samples if one.files is not None]
    files = [float(count) for count in counts] if len(counts) == len(samples) else None
    return Judged(
        series,
        _verdict(series, samples, [float(one.memory) for one in samples], MEMORY, ladder),
        _verdict(series, samples, [float(one.threads) for one in samples], THREADS, ladder),
        _verdict(series, samples, files, OPEN_FILES, ladder) if files else None,
    )


def judge_all(samples: MemorySamples, likely: float, certain: float) -> list[Judged]:
    """Every process, the one to speak of first at the front."""
    judged: Iterable[Judged] = (judge_series(one, likely, certain) for one in samples.series)
    return sorted(judged, key=lambda one: one.memory.rank, reverse=True)
