"""The decider: its statistics against known values, and its rates on simulated series."""

import math
import random
from collections.abc import Callable
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.process.trend import (
    MEMORY,
    OPEN_FILES,
    Answer,
    blocks_of,
    judge_trend,
    longest_window,
    mann_kendall,
    theil_sen,
)

MIB = 2**20
Shape = Callable[[random.Random, list[float]], tuple[list[float], list[float | None]]]
SERIES = 60


def noise(draw: random.Random, count: int, size: float, memory: float = 0.8) -> list[float]:
    """Correlated noise of a standard deviation of ``size``."""
    values, value = [], draw.gauss(0, size)
    for _ in range(count):
        value = memory * value + draw.gauss(0, size * math.sqrt(1 - memory**2))
        values.append(value)
    return values


def simulate(seconds: float, step: float, shape: Shape, seed: int) -> Answer:
    """What the decider says of one simulated process of 150 MiB and its load."""
    draw = random.Random(seed)
    times = [index * step for index in range(int(seconds / step) + 1)]
    values, loads = shape(draw, times)
    jitter = noise(draw, len(times), 0.05)
    memory = [
        float(round((150 + value + extra) * MIB / 4096) * 4096)
        for value, extra in zip(values, jitter, strict=True)
    ]
    return judge_trend(times, memory, MEMORY, loads).answer


def even(times: list[float]) -> list[float | None]:
    return [None for _ in times]


def flat(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
    return [0.0 for _ in times], even(times)


def leak(rate: float, other: Shape = flat) -> Shape:
    """``rate`` MiB a minute on top of another shape."""

    def shape(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
        values, loads = other(draw, times)
        return [v + rate * at / 60 for v, at in zip(values, times, strict=True)], loads

    return shape


def saw(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
    period, height = draw.uniform(15, 40), draw.uniform(4, 12)
    shift = draw.random()
    return [height * ((at / period + shift) % 1) for at in times], even(times)


def load_noise(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
    load = [1 + 0.3 * value for value in noise(draw, len(times), 1.0, 0.95)]
    return [8 * value for value in load], [max(0.01, value) for value in load]


def load_ramp(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
    load = [
        0.3 + at / times[-1] + value
        for at, value in zip(times, noise(draw, len(times), 0.05), strict=True)
    ]
    return [20 * value for value in load], [max(0.01, value) for value in load]


def warm_up(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
    constant, size = draw.uniform(30, 300), draw.uniform(20, 80)
    return [size * (1 - math.exp(-at / constant)) for at in times], even(times)


def cache(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
    full, size = times[-1] * draw.uniform(0.2, 0.8), draw.uniform(10, 60)
    return [size * min(1.0, at / full) for at in times], even(times)


def steps(count: int) -> Shape:
    def shape(draw: random.Random, times: list[float]) -> tuple[list[float], list[float | None]]:
        jumps = [(draw.uniform(0.1, 0.9) * times[-1], draw.uniform(5, 30)) for _ in range(count)]
        return [sum(size for when, size in jumps if at >= when) for at in times], even(times)

    return shape


NOT_LEAKING: dict[str, Shape] = {
    "flat": flat,
    "saw": saw,
    "load noise": load_noise,
    "load ramp": load_ramp,
    "young warm-up": warm_up,
    "cache fills": cache,
    "step": steps(1),
    "two steps": steps(2),
}
WINDOWS = {"2 min": (120.0, 1.0), "10 min": (600.0, 5.0), "1 h": (3600.0, 15.0)}


def share_called(shape: Shape, window: str, salt: int = 0) -> float:
    """The share of simulated series that are called rising."""
    seconds, step = WINDOWS[window]
    found = [simulate(seconds, step, shape, 1000 * salt + seed) for seed in range(SERIES)]
    return found.count(Answer.RISING) / SERIES


@pytest.mark.parametrize("name", ["flat", "saw", "load noise", "load ramp", "step", "two steps"])
@pytest.mark.parametrize("window", WINDOWS)
def test_what_does_not_leak_is_hardly_ever_called_a_leak(name: str, window: str) -> None:
    assert share_called(NOT_LEAKING[name], window) <= 0.05


def test_false_alarms_become_rare_with_time() -> None:
    means = [
        fmean(share_called(shape, window, 7) for shape in NOT_LEAKING.values())
        for window in WINDOWS
    ]
    assert means[0] > means[1] >= means[2], means
    assert means[1] <= 0.05, "below 10 minutes no verdict, so these are what a warning rests on"
    assert means[2] <= 0.01


def test_a_young_warm_up_is_why_minutes_are_too_short() -> None:
    two, ten, hour = (share_called(warm_up, window, 3) for window in WINDOWS)
    assert two > 0.4
    assert ten <= 0.2
    assert hour == 0


@pytest.mark.parametrize(
    ("shape", "window", "least"),
    [
        (leak(1), "10 min", 0.95),
        (leak(10), "2 min", 0.95),
        (leak(10, saw), "10 min", 0.9),
        (leak(10, load_noise), "10 min", 0.8),
        (leak(0.1), "1 h", 0.95),
        (leak(1, saw), "1 h", 0.9),
        (leak(1, load_noise), "1 h", 0.8),
    ],
    ids=["1", "10", "10 saw", "10 load", "0.1 hour", "1 saw hour", "1 load hour"],
)
def test_leaks_are_found(shape: Shape, window: str, least: float) -> None:
    assert share_called(shape, window, 5) >= least


def test_a_slow_leak_needs_the_hour() -> None:
    assert share_called(leak(0.1), "10 min", 9) < share_called(leak(0.1), "1 h", 9)


def test_load_that_trends_is_said_so() -> None:
    answers = [simulate(600, 5, load_ramp, seed) for seed in range(SERIES)]
    assert answers.count(Answer.WITH_LOAD) >= 0.9 * SERIES


def test_a_leak_under_an_even_load_is_told_with_its_rate() -> None:
    times = [float(at) for at in range(0, 601, 5)]
    draw = random.Random(1)
    memory = [(100 + 2 * at / 60 + draw.gauss(0, 0.02)) * MIB for at in times]
    trend = judge_trend(times, memory, MEMORY, [0.4 + draw.gauss(0, 0.02) for _ in times])
    assert trend.answer is Answer.RISING
    assert trend.lower <= 2 * MIB <= trend.upper
    assert trend.rate == pytest.approx(2 * MIB, rel=0.05)


def test_counts_have_a_scale_of_their_own() -> None:
    times = [float(at) for at in range(0, 601, 5)]
    files = [20.0 + int(at / 20) for at in times]
    assert judge_trend(times, files, OPEN_FILES).answer is Answer.RISING
    assert judge_trend(times, [20.0 + (at > 300) * 40 for at in times], OPEN_FILES).answer is (
        Answer.STEADY
    )
    assert judge_trend(times, [20.0 + int(at / 100) for at in times], OPEN_FILES).answer is (
        Answer.STEADY
    ), "6 files more are nothing"


def test_too_few_samples_are_no_trend() -> None:
    assert judge_trend([], []).answer is Answer.TOO_FEW
    assert judge_trend([0.0, 600.0], [1.0, 1e9]).answer is Answer.TOO_FEW
    gap = [*range(30), *range(570, 601)]
    assert judge_trend([float(at) for at in gap], [at * MIB for at in gap]).answer is Answer.TOO_FEW


class TestKnownValues:
    """By hand, and from Gilbert, Statistical Methods for Environmental Pollution Monitoring."""

    def test_mann_kendall(self) -> None:
        # S = 45 of 45 pairs, variance 10*9*25/18 = 125
        assert mann_kendall([float(i) for i in range(10)]) == pytest.approx(44 / math.sqrt(125))
        assert mann_kendall([float(-i) for i in range(10)]) == pytest.approx(-44 / math.sqrt(125))
        # S = 4 of 6 pairs, one tie of two: (4*3*13 - 2*1*9)/18 = 7.667
        assert mann_kendall([1.0, 2.0, 2.0, 2.5]) == pytest.approx(4 / math.sqrt(138 / 18))
        assert mann_kendall([3.0] * 8) == 0.0
        assert mann_kendall([]) == 0.0

    def test_theil_sen(self) -> None:
        assert theil_sen([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0]).middle == 2.0
        # slopes: 10, 5, 1, 0, -3.5, -7 by hand; the wild value does not carry the median
        assert theil_sen([0.0, 1.0, 2.0, 3.0], [0.0, 10.0, 10.0, 3.0]).middle == pytest.approx(0.5)
        slope = theil_sen([float(i) for i in range(12)], [2.0 * i for i in range(12)])
        assert (slope.lower, slope.upper) == (2.0, 2.0)
        assert theil_sen([1.0], [1.0]).middle == 0.0


numbers = st.lists(st.integers(-(10**6), 10**6).map(float), min_size=2, max_size=20)


@given(numbers, st.integers(-1000, 1000), st.integers(1, 50))
def test_statistics_do_not_depend_on_where_a_series_lies(
    values: list[float], shift: int, factor: int
) -> None:
    times = [float(index) for index in range(len(values))]
    moved = [factor * value + shift for value in values]
    one, other = theil_sen(times, values), theil_sen(times, moved)
    assert other.middle == pytest.approx(factor * one.middle)
    assert one.lower <= one.middle <= one.upper
    assert mann_kendall(moved) == pytest.approx(mann_kendall(values))
    assert mann_kendall([-value for value in values]) == pytest.approx(-mann_kendall(values))


@given(numbers, st.integers(1, 1000))
def test_every_sample_is_in_a_block(values: list[float], step: int) -> None:
    times = [float(index * step) for index in range(len(values))]
    blocks = blocks_of(times, values)
    assert 1 <= len(blocks) <= 12
    assert min(block.least for block in blocks) == min(values)
    assert [block.at for block in blocks] == sorted(block.at for block in blocks)


@given(numbers)
def test_no_series_makes_it_fail(values: list[float]) -> None:
    times = [float(index) for index in range(len(values))]
    trend = judge_trend(times, values, MEMORY, [abs(value) for value in values])
    assert math.isfinite(trend.rate)
    assert trend.answer in Answer


def test_the_longest_stretch_without_gaps_is_taken() -> None:
    dense = [float(at) for at in range(0, 601, 5)]
    lengths = (7200.0, 3600.0, 600.0)
    assert longest_window(dense, lengths) == 0
    old = [at - 5000.0 for at in dense[:3]]
    assert longest_window([*old, *dense], lengths) == 3
    assert longest_window([0.0, 1.0, 2.0], lengths) is None
