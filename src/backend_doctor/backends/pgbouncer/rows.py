"""Values of the console's rows: text that may be missing in one version or another."""

from collections.abc import Mapping


def number(row: Mapping[str, str], *names: str) -> int:
    """The whole number in the first of these columns that is there, else 0."""
    for name in names:
        digits = row.get(name, "").partition(".")[0]
        if digits.isascii() and digits.isdecimal():
            return int(digits[:18])
    return 0


def seconds(row: Mapping[str, str], whole: str, micro: str) -> float:
    """Seconds that stand in two columns."""
    return number(row, whole) + number(row, micro) / 1e6
