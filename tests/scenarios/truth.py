"""Reads truth.yaml: what is true in each scenario, and how a stated value is held against it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

Seen = str | int | float


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the oracle's facts a value must agree with, and how closely.

    A number must lie within the readings, widened by ``absolute`` and by ``relative`` times the
    largest; a text, and a number with ``among``, must be one of the readings.
    """

    oracle: str
    absolute: float = 0.0
    relative: float = 0.0
    among: bool = False

    def holds(self, value: object, seen: Sequence[Seen]) -> bool:
        """Whether a value of a finding agrees with what the oracle saw."""
        if isinstance(value, list):
            return bool(value) and all(self.holds(item, seen) for item in value)
        numbers = [item for item in seen if isinstance(item, (int, float))]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or self.among:
            return value in seen
        if not numbers:
            return False
        margin = self.absolute + self.relative * max(map(abs, numbers))
        return min(numbers) - margin <= value <= max(numbers) + margin


class Fact(Agreement, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Evidence that counts.

    ``in_text``: the reading stands in the words of the evidence, whose value is another fact.
    ``seen``: "inside" is what one whom the server refuses cannot see, "refused" what only he
    sees.
    """

    keys: tuple[str, ...]
    in_text: bool = False
    seen: Literal["always", "inside", "refused"] = "always"

    def counts(self, *, blind: bool) -> bool:
        """Whether it is asked of a doctor whom the server refuses, or lets in."""
        return self.seen != ("inside" if blind else "refused")

    def given_by(self, item: Mapping[str, Any], seen: Sequence[Seen]) -> bool:
        """Whether an item of evidence states this fact, and states it right."""
        if item["key"] not in self.keys:
            return False
        if self.in_text:
            words = (rf"(?<![\w-]){re.escape(str(reading))}(?![\w-])" for reading in seen)
            return any(re.search(word, item["text"]) for word in words)
        return self.holds(item["value"], seen)


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scenario's entry; the patterns are regular expressions, ``tempting`` are globs.

    ``cause`` is "" where nobody can see one from outside: then the evidence must be given and
    nothing may be at warning or above. ``folded``: symptoms that must stand beneath the cause,
    each with the kinds of subjects of which it must share one.
    """

    cause: str
    family: tuple[str, ...]
    evidence: tuple[Fact, ...]
    allowed: tuple[str, ...]
    traps: tuple[str, ...]
    tempting: tuple[str, ...]
    may_end: str = ""
    folded: Mapping[str, tuple[str, ...]] = {}
    facts: Mapping[str, Agreement] = {}


class TruthFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    facts: Mapping[str, Agreement]
    scenarios: Mapping[str, Truth]
    compounds: Mapping[str, tuple[str, ...]]

    def agreements(self, truth: Truth) -> Mapping[str, Iterable[Agreement]]:
        """By key of evidence, what a value under it may agree with in a scenario."""
        own: dict[str, list[Agreement]] = {key: [rule] for key, rule in self.facts.items()}
        own |= {key: [rule] for key, rule in truth.facts.items()}
        for fact in truth.evidence:
            for key in () if fact.in_text else fact.keys:
                own[key] = [*own.get(key, []), fact]
        return own


@cache
def load_truth() -> TruthFile:
    """The file beside this one. Raises msgspec.ValidationError when it is not as described, and
    ValueError where an id stands twice, of which YAML would keep the last."""
    text = Path(__file__).with_name("truth.yaml").read_text()
    ids = Counter(re.findall(r"^  ([A-Z]\d+):", text, re.MULTILINE))
    if twice := [name for name, times in ids.items() if times > 1]:
        raise ValueError(f"truth.yaml has more than one row for {', '.join(twice)}")
    return msgspec.convert(yaml.safe_load(text), TruthFile)
