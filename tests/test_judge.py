"""Facts to arguments, absences to statuses, faults of a check to one unknown."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from backend_doctor.config.model import Ignore
from backend_doctor.facts import Absence, AbsenceKind, Absent, Each, Fact, Instance, Looks, Service
from backend_doctor.judge import judge
from backend_doctor.model import Cause, Confidence, Finding, Report, Status, Target
from backend_doctor.registry import Check, bundled_folder, need_of
from backend_doctor.snapshot import Examined, Look, Snapshot, raw


class Count(Fact, frozen=True):
    """A number, and what must not change between two looks."""

    number: int
    started: str = ""

    @property
    def epoch(self) -> str:
        """The start."""
        return self.started


def said(status: Status, summary: str = "x.", cause: str = "") -> Finding:
    named = Cause(label=cause, confidence=Confidence.CERTAIN, because="so") if cause else None
    return Finding(status=status, summary=summary, cause=named)


def made(function: Callable[..., Any], **hints: Any) -> Check:
    """A check of Redis with these parameters."""
    needs = tuple(need_of(name, hint) for name, hint in hints.items())
    path = bundled_folder() / "redis" / "made.py"
    return Check("redis.made", "redis", path, function, needs, ())


def instance(name: str = "redis") -> Instance:
    return Instance(
        service="shop", backend="redis", name=name, address=f"{name}:6379", host=name, port=6379
    )


def snapshot(*looks: Look, **others: list[Look]) -> Snapshot:
    """What was seen of Count on instance ``redis``, and on others by name."""
    target = Target(
        service="shop",
        backend="redis",
        instance="redis",
        address="redis:6379",
        server="",
        seconds=0,
        statements=0,
        connections=0,
    )
    seen = {"redis": list(looks), **others}
    return Snapshot(
        tool_version="0",
        started="2026-11-23T00:00:00Z",
        seconds=1,
        window=5,
        source="test",
        services=[Service(name="shop", instances=tuple(instance(name) for name in seen))],
        backends=[
            Examined(
                instance=instance(name), target=target, facts={"Count": found} if found else {}
            )
            for name, found in seen.items()
        ],
    )


def test_a_fact_is_named_in_plain_words() -> None:
    class StatementStatistics(Count, frozen=True):
        """Has a name of two words."""

    check = made(tell, count=StatementStatistics)
    summary = only(judge(snapshot(), [check])).summary
    assert summary.startswith("Could not be judged: statement statistics: was not read")


def test_who_asks_for_one_look_has_no_unknown() -> None:
    def rate(count: Looks[Count]) -> Iterator[Finding]:
        yield said(Status.OK)

    once, check = snapshot(look(3)), made(rate, count=Looks[Count])
    assert only(judge(once, [check])).status is Status.UNKNOWN
    finding = only(judge(msgspec.structs.replace(once, window=0), [check]))
    assert (finding.status, finding.summary) == (
        Status.SKIPPED,
        "Needs two looks; --window 0 allows one.",
    )
    restarted = msgspec.structs.replace(snapshot(look(3, started="a"), look(4, started="b")))
    assert "restarted" in only(judge(restarted, [check])).summary


def look(number: int, at: float = 0.0, started: str = "") -> Look:
    return Look(at=at, value=raw(Count(number=number, started=started)))


def absent(kind: AbsenceKind, remedy: str = "") -> Look:
    return Look(at=0.0, absent=Absence(kind=kind, reason="no right", remedy=remedy))


def only(report: Report) -> Finding:
    (result,) = report.results
    return result.finding


def tell(count: Count) -> Iterator[Finding]:
    yield said(Status.OK, f"saw {count.number}.")


def test_a_fact_is_decoded_and_given() -> None:
    assert only(judge(snapshot(look(3)), [made(tell, count=Count)])).summary == "saw 3."


def test_the_last_look_is_the_one() -> None:
    report = judge(snapshot(look(3), look(4, at=5)), [made(tell, count=Count)])
    assert only(report).summary == "saw 4."


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (AbsenceKind.NOT_APPLICABLE, Status.SKIPPED),
        (AbsenceKind.BLIND, Status.UNKNOWN),
        (AbsenceKind.LOGIN, Status.UNKNOWN),
        (AbsenceKind.FAILED, Status.UNKNOWN),
    ],
)
def test_an_absence_decides_the_status(kind: AbsenceKind, status: Status) -> None:
    finding = only(judge(snapshot(absent(kind, "GRANT it")), [made(tell, count=Count)]))
    assert finding.status is status
    assert "no right" in finding.summary
    assert [remedy.command for remedy in finding.remedies] == ["GRANT it"]
    subjects = {(subject.kind, subject.value) for subject in finding.subjects}
    assert subjects == ({("login", "redis:6379")} if kind is AbsenceKind.LOGIN else set())


def test_a_fact_that_was_never_read_is_unknown() -> None:
    finding = only(judge(snapshot(), [made(tell, count=Count)]))
    assert finding.status is Status.UNKNOWN
    assert "was not read" in finding.summary


def test_a_check_can_do_without_an_optional_fact() -> None:
    def cope(count: Count | None) -> Iterator[Finding]:
        yield said(Status.WARNING, "blind." if count is None else "seen.")

    check = made(cope, count=Count | None)
    assert only(judge(snapshot(absent(AbsenceKind.BLIND)), [check])).summary == "blind."
    assert only(judge(snapshot(look(1)), [check])).summary == "seen."


def test_a_damaged_fact_is_no_absence() -> None:
    def cope(count: Count | None) -> Iterator[Finding]:
        yield said(Status.OK)

    damaged = snapshot(Look(at=0, value={"number": "many"}))
    finding = only(judge(damaged, [made(cope, count=Count | None)]))
    assert finding.status is Status.UNKNOWN
    assert "ValidationError" in finding.summary


def rate(counts: Looks[Count]) -> Iterator[Finding]:
    per_second = (counts.last.number - counts.first.number) / counts.seconds
    yield said(Status.OK, f"{per_second:g}.")


def test_two_looks_make_a_rate_by_their_own_times() -> None:
    report = judge(snapshot(look(3, at=1.0), look(13, at=6.0)), [made(rate, counts=Looks[Count])])
    assert only(report).summary == "2."


@pytest.mark.parametrize(
    ("looks", "why"),
    [
        ([look(3)], "only once"),
        ([look(3, started="a"), look(4, at=5, started="b")], "restarted"),
        ([absent(AbsenceKind.FAILED), look(4, at=5)], "only once"),
        ([look(3), absent(AbsenceKind.BLIND)], "no right"),
    ],
    ids=["once", "another epoch", "first is missing", "last is missing"],
)
def test_without_two_looks_at_the_same_there_is_no_rate(looks: list[Look], why: str) -> None:
    finding = only(judge(snapshot(*looks), [made(rate, counts=Looks[Count])]))
    assert finding.status is Status.UNKNOWN
    assert why in finding.summary


def test_a_rate_is_not_asked_for_where_one_look_is_allowed() -> None:
    for looks in ([], [look(3)]):
        single = msgspec.structs.replace(snapshot(*looks), window=0)
        finding = only(judge(single, [made(rate, counts=Looks[Count])]))
        assert (finding.status, "two looks" in finding.summary) == (Status.SKIPPED, True)
    blind = msgspec.structs.replace(snapshot(absent(AbsenceKind.BLIND)), window=0)
    assert "no right" in only(judge(blind, [made(rate, counts=Looks[Count])])).summary


def test_each_gives_every_instance_its_own() -> None:
    def total(counts: Each[Count]) -> Iterator[Finding]:
        seen = {n: f.number if isinstance(f, Count) else f.reason for n, f in counts.items()}
        yield said(Status.OK, f"{seen}.")

    found = snapshot(look(1), cache=[look(2)], queue=[absent(AbsenceKind.BLIND)])
    report = judge(found, [made(total, counts=Each[Count])])
    expected = "{'redis': 1, 'cache': 2, 'queue': 'no right'}."
    assert {result.finding.summary for result in report.results} == {expected}
    assert len(report.results) == 3


def test_service_and_instance_are_supplied() -> None:
    def who(service: Service, instance: Instance) -> Iterator[Finding]:
        yield said(Status.OK, f"{service.name} {instance.name}.")

    report = judge(snapshot(), [made(who, service=Service, instance=Instance)])
    assert only(report).summary == "shop redis."


def raises(count: Count) -> Iterator[Finding]:
    yield said(Status.CRITICAL, "before.")
    raise ZeroDivisionError("\x1b[31mred")


def yields_nothing(count: Count) -> Iterator[Finding]:
    yield from ()


def cannot_tell(count: Count) -> Iterator[Finding]:
    raise Absent("too young", remedy="wait")
    yield


@pytest.mark.parametrize(
    ("function", "summary"),
    [
        (raises, "The check redis.made failed: ZeroDivisionError: \\x1b[31mred"),
        (yields_nothing, "The check redis.made failed: RuntimeError: it yielded no finding at all"),
        (cannot_tell, "Could not be judged: too young."),
    ],
)
def test_a_faulty_check_is_one_unknown_and_the_others_go_on(
    function: Callable[..., Any], summary: str
) -> None:
    report = judge(snapshot(look(1)), [made(function, count=Count), made(tell, count=Count)])
    first, second = report.results
    assert (first.finding.status, first.finding.summary) == (Status.UNKNOWN, summary)
    assert second.finding.summary == "saw 1."


def test_limits_reach_the_check() -> None:
    def limited(count: Count, *, least: int = 1) -> Iterator[Finding]:
        yield said(Status.OK, f"{least}.")

    report = judge(snapshot(look(1)), [made(limited, count=Count)], {"redis.made": {"least": 7}})
    assert only(report).summary == "7."


def test_checks_of_another_kind_are_left_out() -> None:
    other = made(tell, count=Count)
    elsewhere = Check("postgres.made", "postgres", other.path, tell, other.needs, ())
    report = judge(snapshot(look(1)), [elsewhere])
    assert report.results == ()
    assert report.status is Status.UNKNOWN


def alarm(count: Count) -> Iterator[Finding]:
    yield said(Status.CRITICAL, "bad.", "redis.maxclients")


TODAY = datetime.datetime.now(datetime.UTC).date()
DAY = datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({}, Status.SKIPPED),
        ({"cause": "redis.maxclients", "service": "shop"}, Status.SKIPPED),
        ({"cause": "redis.other"}, Status.CRITICAL),
        ({"service": "blog"}, Status.CRITICAL),
        ({"check": "redis.memory"}, Status.CRITICAL),
        ({"until": TODAY - DAY}, Status.CRITICAL),
    ],
    ids=["today is in", "all fit", "other cause", "other service", "other check", "past"],
)
def test_an_ignored_finding_is_shown_as_skipped_until_its_day(
    rule: dict[str, Any], status: Status
) -> None:
    ignore = Ignore(**{"check": "redis.made", "reason": "known", "until": TODAY, **rule})
    finding = only(judge(snapshot(look(1)), [made(alarm, count=Count)], None, [ignore]))
    assert finding.status is status
    assert any("known" in note for note in finding.notes) == (status is Status.SKIPPED)
