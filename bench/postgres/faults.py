"""The seven faults of the sick server, and by which words a tool shows that it names one.

A number alone names nothing: a leak is named with its application and count, a chain of locks by
the process id at its head, a missing index by table and column.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """``patterns`` may each match anywhere within ``within`` characters of the first's match."""

    name: str
    patterns: tuple[str, ...]
    within: int = 400

    def named_in(self, text: str, values: Mapping[str, str]) -> bool:
        """Whether all patterns stand near each other."""
        first, *others = (_compiled(pattern, values) for pattern in self.patterns)
        for found in first.finditer(text):
            near = text[max(0, found.start() - self.within) : found.end() + self.within]
            if all(other.search(near) for other in others):
                return True
        return False


def _compiled(pattern: str, values: Mapping[str, str]) -> "re.Pattern[str]":
    return re.compile(pattern.format_map(values), re.IGNORECASE)


FAULTS = (
    Fault("leak", (r"billing-worker", r"idle.in.transaction|idle in tx", r"\b12\b")),
    Fault("index", (r"\borders\b", r"customer_id", r"missing|no index|create index|suggest")),
    Fault("foreign keys", (r"\border_items\b", r"foreign.key|\bfk\b", r"index")),
    Fault("duplicate", (r"orders_created_idx2", r"duplicate|same|twin|redundant|unneeded")),
    Fault("lock root", (r"\b{root_pid}\b", r"block|head|lock")),
    Fault("slots", (r"\b2[78] (of|/) ?(27|30)\b|\b(9[03]|100) ?%",)),
    Fault("sequence", (r"invoices_number_seq", r"9[45](\.\d+)? ?%|1767")),
)


def plain(text: str) -> str:
    """The text without terminal escapes, blanks joined."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]", " ", text)
    return re.sub(r"[ \t]+", " ", text)


def named(text: str, values: Mapping[str, str]) -> list[str]:
    """The names of the faults that a tool's output names."""
    readable = plain(text)
    return [fault.name for fault in FAULTS if fault.named_in(readable, values)]
