"""The seven faults of the sick server, and by which words a tool lets an operator see them.

Generous to all: ``named`` asks for what must be mended (who leaks, which table and column, which
process heads the chain), not for a verdict; ``part`` is a trace of it, such as a bare number.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

WITHIN = 400


class Mark(StrEnum):
    """How much of a fault an output shows."""

    NAMED = "yes"
    PART = "part"
    SILENT = "-"


@dataclass(frozen=True)
class Seen:
    """A mark, and the words that earned it."""

    mark: Mark
    words: str = ""


@dataclass(frozen=True)
class Fault:
    """All patterns of a tuple must match within ``WITHIN`` characters of the first's match."""

    name: str
    named: tuple[str, ...]
    part: tuple[str, ...] = ()

    def seen_in(self, text: str, values: Mapping[str, str]) -> Seen:
        """What a readable output shows; ``values`` fill the patterns."""
        for mark, patterns in ((Mark.NAMED, self.named), (Mark.PART, self.part)):
            words = _near_each_other([pattern.format_map(values) for pattern in patterns], text)
            if words is not None:
                return Seen(mark, words)
        return Seen(Mark.SILENT)


def _near_each_other(patterns: list[str], text: str) -> str | None:
    if not patterns:
        return None
    first, *others = (re.compile(pattern, re.IGNORECASE) for pattern in patterns)
    for found in first.finditer(text):
        near = text[max(0, found.start() - WITHIN) : found.end() + WITHIN]
        matches = [other.search(near) for other in others]
        if all(matches):
            return " ... ".join(match[0] for match in (found, *matches) if match)
    return None


FAULTS = (
    Fault(
        "leak",
        (r"billing-worker", r"idle.in.tra\w+"),
        (r'\b1[23] (idle in txn|idle transactions)|state="idle in transaction"\S+ 1[23]\b',),
    ),
    Fault(
        "slow search",
        (r"\borders\b[^;]{{0,40}} customer_id = ", r"missing|no index|create index|suggest"),
        (r"slowest|most time|no index|create index", r"\borders\b", r"customer_id"),
    ),
    Fault("foreign keys", (r"\border_items\b", r"foreign.key|\bfk\b|references", r"\bindex")),
    Fault("duplicate", (r"orders_created_idx2", r"duplicate|same|twin|redundant|unneeded")),
    Fault(
        "lock root",
        (r"\b{root_pid}\b", r"block(er|ing|ed|s)\b|holding the lock|behind"),
        (r'"waiting" locks: [1-9]|still waiting for|queries that waited',),
    ),
    Fault(
        "slots",
        # parallel workers come and go, and some count them too
        (r"\b(2[7-9]|3\d) (of|/) ?(27|30)\b|\b(9\d|100) ?%\)? of",),
        (r"max_connections\S* 30\b",),
    ),
    Fault("sequence", (r"invoices_number_seq", r"9[45](\.\d+)? ?%|1767")),
)


def readable(text: str) -> str:
    """The text without terminal escapes, blanks joined."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]", " ", text)
    return re.sub(r"[ \t]+", " ", text)


def judge(text: str, values: Mapping[str, str]) -> dict[str, Seen]:
    """What a tool's output shows of each fault."""
    plain = readable(text)
    return {fault.name: fault.seen_in(plain, values) for fault in FAULTS}


def first_cause(text: str) -> str | None:
    """The cause that is ranked first; None of an output without causes."""
    found = re.search(r"^ +cause +(\S+)", text, re.MULTILINE)
    return found[1] if found else None
