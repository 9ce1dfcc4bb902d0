"""A checker for performance data, written from the Monitoring Plugins guidelines alone.

'label'=value[UOM];[warn];[crit];[min];[max]
"""

import re
from dataclasses import dataclass

_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_UNIT = r"(?:s|us|ms|%|B|KB|MB|GB|TB|c)?"
_RANGE = rf"@?(?:(?:~|{_NUMBER}):)?(?:{_NUMBER})?"
_ITEM = re.compile(
    rf"(?:'(?P<quoted>[^'=|]+)'|(?P<bare>[^'=|\s]+))"
    rf"=(?P<value>U|{_NUMBER}{_UNIT})"
    rf"(?:;(?P<warn>{_RANGE})(?:;(?P<crit>{_RANGE})"
    rf"(?:;(?P<min>(?:{_NUMBER})?)(?:;(?P<max>(?:{_NUMBER})?))?)?)?)?"
    r"(?: +|$)"
)


@dataclass(frozen=True)
class Item:
    """One label with its reading; an absent field is ""."""

    label: str
    value: str
    warn: str
    crit: str
    minimum: str
    maximum: str


def parse(text: str) -> list[Item]:
    """The items of ``text``. Raises ValueError at the first place that breaks the grammar."""
    items = []
    position = 0
    while position < len(text):
        match = _ITEM.match(text, position)
        if match is None:
            raise ValueError(f"not performance data: {text[position : position + 60]!r}")
        found = {name: value or "" for name, value in match.groupdict().items()}
        for limit in (found["warn"], found["crit"]):
            _check_range(limit)
        items.append(
            Item(
                found["quoted"] or found["bare"],
                *(found[name] for name in ("value", "warn", "crit", "min", "max")),
            )
        )
        position = match.end()
    return items


def _check_range(limit: str) -> None:
    start, colon, end = limit.removeprefix("@").rpartition(":")
    low = float("-inf") if start == "~" else float(start or 0)
    if (colon or end) and end and low > float(end):
        raise ValueError(f"a range must not start above its end: {limit!r}")
