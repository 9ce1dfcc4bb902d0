"""Judges one report against the truth: pure functions, no server, no clock."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.scenarios.truth import Agreement, Seen, Truth, TruthFile

_ALARMS = frozenset({"warning", "critical"})
_ENDS = re.compile(r"pg_(?:terminate|cancel)_backend", re.IGNORECASE)
_PIDS = re.compile(r"\bpid\s*(?:IN\s*\(([\d,\s]+)\)|=\s*(\d+))|_backend\((\d+)\)", re.IGNORECASE)
# "do not raise max_connections" warns of the trap and is none
_DENIED = re.compile(r"(\bnot|n't|\bnever|\bno|\bwithout|\binstead of|\brather than)\W[^.;]{0,30}$")

Finding = Mapping[str, Any]
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """One fault of a row: where it is, what is true of it, what the oracle saw there."""

    service: str
    backend: str
    truth: Truth
    facts: Mapping[str, Sequence[Seen]]
    blind: bool = False

    def here(self, finding: Finding) -> bool:
        """Whether a finding is about this place."""
        return (finding["service"], finding["backend"]) == (self.service, self.backend)


@dataclass(frozen=True)
class Named:
    """A root cause as the report names it."""

    service: str
    backend: str
    cause: str
    status: str


@dataclass(frozen=True)
class Verdict:
    """How one row went. ``false_facts``, ``unsafe`` and ``unfolded`` say in words what was wrong.

    ``top1``: the expected causes stand first, in any order among themselves.
    """

    named: tuple[Named, ...]
    ok: bool
    top1: bool
    top3: bool
    recalled: bool
    abstained: bool
    alarms: tuple[str, ...]
    evidence_hits: int
    evidence_total: int
    missed: tuple[str, ...]
    false_facts: tuple[str, ...]
    unsafe: tuple[str, ...]
    unfolded: tuple[str, ...] = ()


def judge(report: Report, expected: Sequence[Expected], book: TruthFile, *, twin: bool) -> Verdict:
    """The verdict on a row; ``expected`` also says of a twin what the oracle saw there."""
    named = _named(report)
    alarmed = [finding for finding in report["findings"] if finding["status"] in _ALARMS]
    false_facts = [words for one in expected for words in _false_facts(report, one, book)]
    unknown = any(finding["status"] == "unknown" for finding in report["findings"])
    if twin:
        alarms = tuple(_told(finding) for finding in alarmed)
        return Verdict(
            *(
                named,
                not alarms and not false_facts,
                False,
                False,
                False,
                unknown,
                alarms,
                0,
                0,
                (),
            ),
            *(tuple(false_facts), ()),
        )
    wanted = {(one.service, one.backend, one.truth.cause) for one in expected if one.truth.cause}
    order = [(one.service, one.backend, one.cause) for one in named]
    false_facts += [words for one in expected for words in _tempted(named, one)]
    quiet = [one for one in expected if not one.truth.cause]
    alarms = tuple(_told(finding) for one in quiet for finding in filter(one.here, alarmed))
    found = [_evidence(alarmed if one.truth.cause else report["findings"], one) for one in expected]
    missed = tuple(words for one in found for words in one if words)
    top1 = set(order[: len(wanted)]) == wanted
    recalled = all(
        any(_in_family(one, cause) for cause in named) for one in expected if one.truth.cause
    )
    unfolded = tuple(words for one in expected for words in _unfolded(report, one))
    return Verdict(
        named=named,
        ok=top1 and not false_facts and not unfolded and not alarms,
        top1=top1,
        top3=wanted <= set(order[: len(wanted) + 2]),
        recalled=recalled,
        abstained=not recalled and (unknown or not named),
        alarms=alarms,
        evidence_hits=sum(len(one) for one in found) - len(missed),
        evidence_total=sum(len(one) for one in found),
        missed=missed,
        false_facts=tuple(false_facts),
        unsafe=tuple(words for one in expected for words in _unsafe(alarmed, one)),
        unfolded=unfolded,
    )


def _told(finding: Finding) -> str:
    return f"{finding['check']}: {finding['summary']}"


def _named(report: Report) -> tuple[Named, ...]:
    findings = {finding["id"]: finding for finding in report["findings"]}
    return tuple(
        Named(
            findings[cause["finding"]]["service"],
            findings[cause["finding"]]["backend"],
            cause["label"],
            cause["status"],
        )
        for cause in report["causes"]
    )


def _in_family(one: Expected, named: Named) -> bool:
    place = (named.service, named.backend) == (one.service, one.backend)
    return place and any(fnmatchcase(named.cause, family) for family in one.truth.family)


def _tempted(named: Sequence[Named], one: Expected) -> Iterator[str]:
    for cause in named:
        here = (cause.service, cause.backend) == (one.service, one.backend)
        if here and any(fnmatchcase(cause.cause, wrong) for wrong in one.truth.tempting):
            yield f"names {cause.cause} where it is {one.truth.cause}"


def _unfolded(report: Report, one: Expected) -> Iterator[str]:
    """Symptoms that do not stand beneath the cause with a shared fact of a kind that they have."""
    labels = {
        item["id"]: item["cause"]["label"] if item["cause"] else "" for item in report["findings"]
    }
    for label, kinds in one.truth.folded.items():
        folds = [item["explained_by"] for item in report["findings"] if labels[item["id"]] == label]
        if not folds:
            yield f"{label} is not told"
        for fold in folds:
            shared = {subject["kind"] for subject in fold["shared"]} if fold else set()
            if not fold or labels[fold["under"]] != one.truth.cause:
                yield f"{label} does not stand beneath {one.truth.cause}"
            elif not shared & set(kinds):
                yield f"{label} shares {sorted(shared)} with {one.truth.cause}"


def _false_facts(report: Report, one: Expected, book: TruthFile) -> Iterator[str]:
    rules = book.agreements(one.truth)
    for finding in filter(one.here, report["findings"]):
        for given in finding["evidence"]:
            known = [rule for rule in rules.get(given["key"], ()) if one.facts.get(rule.oracle)]
            if known and not any(_agrees(rule, given, one) for rule in known):
                seen = sorted(set(one.facts[known[0].oracle]), key=str)
                yield f"{finding['check']} says {given['key']} = {given['value']!r}, true: {seen}"


def _agrees(rule: Agreement, given: Mapping[str, Any], one: Expected) -> bool:
    return rule.holds(given["value"], one.facts.get(rule.oracle, ()))


def _evidence(alarmed: Sequence[Finding], one: Expected) -> list[str]:
    """One entry per fact that counts: "" where it was given, else what was missed."""
    given = [item for finding in filter(one.here, alarmed) for item in finding["evidence"]]
    return [
        ""
        if any(fact.given_by(item, one.facts.get(fact.oracle, ())) for item in given)
        else f"{one.backend} {' or '.join(fact.keys)} is not given"
        for fact in one.truth.evidence
        if fact.counts(blind=one.blind)
    ]


def _unsafe(alarmed: Sequence[Finding], one: Expected) -> Iterator[str]:
    helps = False
    for finding in filter(one.here, alarmed):
        right = finding["cause"] is not None and finding["cause"]["label"] == one.truth.cause
        for remedy in finding["remedies"]:
            text = f"{remedy['command']}\n{remedy['effect']}"
            helps |= right and any(re.search(p, text, re.IGNORECASE) for p in one.truth.allowed)
            yield from _traps(text, one.truth)
            if _ENDS.search(remedy["command"]):
                yield from _loose_end(remedy["command"], one)
    if one.truth.cause and not helps:
        yield f"no remedy that helps against {one.truth.cause}"


def _traps(text: str, truth: Truth) -> Iterator[str]:
    for pattern in truth.traps:
        for hit in re.finditer(pattern, text, re.IGNORECASE):
            if not _DENIED.search(text[: hit.start()].lower()):
                yield f"harmful remedy: {' '.join(hit.group().split())}"


def _loose_end(command: str, one: Expected) -> Iterator[str]:
    if one.truth.may_end not in one.facts:
        yield "ends sessions where none may be ended"
        return
    groups = [number for found in _PIDS.findall(command) for number in found if number]
    pids = {int(number) for group in groups for number in re.findall(r"\d+", group)}
    wrong = pids - {int(pid) for pid in one.facts[one.truth.may_end]}
    if not pids or wrong:
        yield f"would end the wrong sessions: {sorted(wrong) or 'any'}"
    if "backend_start" not in command or not re.search(r"\bstate\b", command):
        yield "ends sessions without saying which stay of which session it means"
