"""Moments and spans of tokens: units told apart, seconds in words."""

from backend_doctor.facts import Instance

YEAR = 365.25 * 86_400.0
_NEAR_YEARS = 10
_UNITS = ((1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds"))
_SPANS = ((YEAR, "years"), (86_400.0, "days"), (3_600.0, "h"), (60.0, "min"))
DEFAULT_LEEWAY = 60
DEFAULT_GRACE = 60
"""Seconds for which a refresh token may be used again; seen are 20, 30 and 60."""
LONGEST_GRACE = 120
"""The most that may be declared: a run has to wait for longer than that."""


def unit_of(moment: float, now: float) -> str:
    """ "milliseconds" and so on where the number, read so, lies within ten years of ``now``."""
    for factor, unit in _UNITS:
        if abs(moment / factor - now) < _NEAR_YEARS * YEAR:
            return unit
    return ""


def span(seconds: float) -> str:
    """ "15 min", "8 days": with one decimal where it is not whole."""
    size = abs(seconds)
    for length, name in _SPANS:
        if size >= 2 * length or (size >= length and size % length == 0):
            return f"{size / length:.1f}".removesuffix(".0") + f" {name}"
    return f"{size:.0f} s"


def leeway_of(instance: Instance) -> int:
    """Seconds by which the service's verifiers forgive clocks that differ."""
    declared = instance.number("leeway")
    return DEFAULT_LEEWAY if declared is None else declared
