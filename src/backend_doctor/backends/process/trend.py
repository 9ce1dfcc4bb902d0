"""Whether a series of samples grows steadily: rank statistics on 12 blocks of time, with guards.

A plain slope test takes warm-up, a filling cache, a step and a rise in load for a leak. Here the
lower envelope must rise (Mann-Kendall, Theil-Sen), by no single step, and without levelling off.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import fmean, median

import msgspec

BLOCKS = 12
# fewer blocks with samples than this, and no trend is told
LEAST_BLOCKS = 10
# so many blocks at the end show whether a cache has just filled up
_END = 4
# one-sided 1 %, two-sided 5 % of the normal distribution
_RISING_Z = 2.33
_BOUNDS_Z = 1.96
# beyond this correlation of time and load, what grows with which cannot be told
_INSEPARABLE = 0.9
# a load that changed by less than this share did not trend, however straight its line
_LOAD_CHANGE = 0.25


class Answer(StrEnum):
    """What a series says."""

    STEADY = "steady"
    RISING = "rising"
    WITH_LOAD = "with_load"
    TOO_FEW = "too_few"


class Scale(msgspec.Struct, frozen=True):
    """What counts as growth: ``floor`` units a minute, ``least`` units over the whole window."""

    floor: float
    least: float


MEMORY = Scale(floor=0.05 * 2**20, least=2**20)
OPEN_FILES = Scale(floor=0.5, least=10)
THREADS = Scale(floor=0.2, least=5)


class Slope(msgspec.Struct, frozen=True):
    """Units a second, with the bounds of its 95 % interval."""

    middle: float
    lower: float
    upper: float


class Trend(msgspec.Struct, frozen=True):
    """``rate``, ``lower`` and ``upper`` in units a minute, ``growth`` in units over ``seconds``.

    ``smallest`` is the lowest rate, in units a minute, that these samples could have shown.
    """

    answer: Answer
    seconds: float = 0.0
    rate: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    growth: float = 0.0
    smallest: float = 0.0


class Block(msgspec.Struct, frozen=True):
    """One stretch of time: middle of its samples' times, least and median value, mean load."""

    at: float
    least: float
    middle: float
    load: float | None


def _rank_variance(values: Sequence[float]) -> float:
    count = len(values)
    ties = [list(values).count(value) for value in set(values)]
    tied = sum(size * (size - 1) * (2 * size + 5) for size in ties)
    return (count * (count - 1) * (2 * count + 5) - tied) / 18


def mann_kendall(values: Sequence[float]) -> float:
    """The z score of the Mann-Kendall test with its correction for ties; above 0 for a rise."""
    pairs = ((a, b) for i, a in enumerate(values) for b in values[i + 1 :])
    score = sum((b > a) - (b < a) for a, b in pairs)
    variance = _rank_variance(values)
    if score == 0 or variance <= 0:
        return 0.0
    return (score - math.copysign(1, score)) / math.sqrt(variance)


def theil_sen(times: Sequence[float], values: Sequence[float]) -> Slope:
    """The median of all slopes between two points, with Sen's 95 % interval (Sen 1968)."""
    points = list(zip(times, values, strict=True))
    slopes = sorted(
        (later - earlier) / (end - begin)
        for i, (begin, earlier) in enumerate(points)
        for end, later in points[i + 1 :]
        if end > begin
    )
    if not slopes:
        return Slope(0.0, 0.0, 0.0)
    reach = _BOUNDS_Z * math.sqrt(max(0.0, _rank_variance(values)))
    low = max(0, round((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, round((len(slopes) + reach) / 2))
    return Slope(median(slopes), slopes[low], slopes[high])


def blocks_of(
    times: Sequence[float], values: Sequence[float], loads: Sequence[float | None] | None = None
) -> list[Block]:
    """Samples in :data:`BLOCKS` equal stretches of time; stretches without one are left out."""
    if not times:
        return []
    begin, span = times[0], max(times[-1] - times[0], 1e-9)
    groups: list[list[int]] = [[] for _ in range(BLOCKS)]
    for index, at in enumerate(times):
        groups[min(BLOCKS - 1, int((at - begin) / span * BLOCKS))].append(index)
    found = []
    for group in groups:
        known = [load for i in group if loads is not None and (load := loads[i]) is not None]
        if group:
            found.append(
                Block(
                    at=fmean(times[i] for i in group),
                    least=min(values[i] for i in group),
                    middle=median(values[i] for i in group),
                    load=fmean(known) if known else None,
                )
            )
    return found


def _centred(values: Sequence[float]) -> list[float]:
    mean = fmean(values)
    return [value - mean for value in values]


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _share_of_load(times: list[float], values: list[float], loads: list[float]) -> float:
    """Units a unit of load, where positive and beyond two standard errors, else 0.

    The load's coefficient in a least-squares fit of the values on time and load.
    """
    t, y, x = _centred(times), _centred(values), _centred(loads)
    tt, xx, tx, ty, xy = (_product(*pair) for pair in ((t, t), (x, x), (t, x), (t, y), (x, y)))
    determinant = tt * xx - tx * tx
    if determinant <= 1e-12 * tt * xx or len(times) < 5:
        return 0.0
    by_time = (ty * xx - xy * tx) / determinant
    by_load = (xy * tt - ty * tx) / determinant
    left = sum((v - by_time * a - by_load * b) ** 2 for v, a, b in zip(y, t, x, strict=True))
    error = math.sqrt(left / (len(times) - 3) * tt / determinant)
    return by_load if by_load > 2 * error else 0.0


def _load_trended(times: list[float], loads: list[float]) -> bool:
    t, x = _centred(times), _centred(loads)
    size = math.sqrt(_product(t, t) * _product(x, x))
    change = max(loads) - min(loads)
    moved = change > _LOAD_CHANGE * max(fmean(loads), 1e-9)
    return size > 0 and moved and abs(_product(t, x)) / size > _INSEPARABLE


def _noise(times: list[float], values: list[float], slope: Slope) -> float:
    """Three median absolute deviations from the line."""
    rest = [value - slope.middle * at for at, value in zip(times, values, strict=True)]
    middle = median(rest)
    return 3 * median(abs(value - middle) for value in rest)


def _rises(times: list[float], values: list[float], scale: Scale, rising_share: float) -> bool:
    """All of the guards on one envelope."""
    slope, growth = theil_sen(times, values), values[-1] - values[0]
    steps = [later - earlier for earlier, later in pairwise(values)]
    half = len(values) // 2
    first = theil_sen(times[:half], values[:half]).middle
    second = theil_sen(times[half:], values[half:]).middle
    end = theil_sen(times[-_END:], values[-_END:]).middle
    return (
        mann_kendall(values) > _RISING_Z
        and slope.lower * 60 > scale.floor
        and second > 0
        and second >= 0.5 * first
        and end >= 0.3 * slope.middle
        and max(steps) < 0.4 * growth
        and sum(step > 0 for step in steps) >= rising_share * len(steps)
        and growth > max(scale.least, _noise(times, values, slope))
    )


def judge_trend(
    times: Sequence[float],
    values: Sequence[float],
    scale: Scale = MEMORY,
    loads: Sequence[float | None] | None = None,
) -> Trend:
    """What samples in the order of time (seconds) say; ``loads`` is any signal of the load.

    Rising needs both the blocks' minima and their medians to pass every guard, after what the
    load explains was taken away. A load that itself trended makes the answer WITH_LOAD.
    """
    blocks = blocks_of(times, values, loads)
    if len(blocks) < LEAST_BLOCKS:
        return Trend(Answer.TOO_FEW, times[-1] - times[0] if times else 0.0)
    at = [block.at for block in blocks]
    least, middle = [block.least for block in blocks], [block.middle for block in blocks]
    known = [block.load for block in blocks if block.load is not None]
    raw_rise = _rises(at, least, scale, 0.7) and _rises(at, middle, scale, 0.6)
    trended = False
    if len(known) == len(blocks):
        trended = _load_trended(at, known)
        share = 0.0 if trended else _share_of_load(at, middle, known)
        shift = [share * load for load in _centred(known)]
        least = [value - part for value, part in zip(least, shift, strict=True)]
        middle = [value - part for value, part in zip(middle, shift, strict=True)]
    seconds, slope = times[-1] - times[0], theil_sen(at, least)
    answer = Answer.STEADY
    if trended and raw_rise:
        answer = Answer.WITH_LOAD
    elif _rises(at, least, scale, 0.7) and _rises(at, middle, scale, 0.6):
        answer = Answer.RISING
    detectable = max(scale.least, _noise(at, least, slope)) / max(seconds, 1e-9) * 60
    return Trend(
        answer=answer,
        seconds=seconds,
        rate=slope.middle * 60,
        lower=slope.lower * 60,
        upper=slope.upper * 60,
        growth=least[-1] - least[0],
        smallest=max(scale.floor, detectable),
    )


def longest_window(times: Sequence[float], lengths: Sequence[float]) -> int | None:
    """The index of the first sample of the longest stretch up to the last that has no wide gaps.

    ``lengths`` are those to try, in seconds, longest first; None where all have gaps.
    """
    for length in lengths:
        start = next((i for i, at in enumerate(times) if times[-1] - at <= length), 0)
        if len(blocks_of(times[start:], times[start:])) >= LEAST_BLOCKS:
            return start
    return None
