"""Amounts in words."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size_text(count: float) -> str:
    """Bytes as PostgreSQL spells them: 1 kB is 1024 bytes."""
    amount, unit = float(count), 0
    while abs(amount) >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit < 2 else f"{amount:.1f} {_UNITS[unit]}"


def time_text(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
