"""postgres.connection_churn: facts in, findings out."""

import pytest
from tests.checks.postgres.builders import WINDOW, cause, evidence, looks, run, session

from backend_doctor import Finding, Looks, Status
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters
from backend_doctor.backends.postgres.newcomers import Newcomer, Newcomers
from backend_doctor.backends.postgres.sessions import Sessions


def counters(opened: int, ended: int, own: int = 0) -> Looks[Counters]:
    def at(sessions: int, transactions: int, statements: int) -> Counters:
        shop = DatabaseCounters(name="shop", sessions=sessions, commits=transactions)
        return Counters(databases=(shop,), own_statements=statements)

    return Looks(at(1000, 5000, 3), at(1000 + opened, 5000 + ended, 3 + own), WINDOW)


def judge(
    counted: Looks[Counters],
    seen: Looks[Sessions] | None = None,
    caught: Newcomers | None = None,
    **limits: float,
) -> Finding:
    (finding,) = run("connection_churn", counted, seen, caught, **limits)
    return finding


@pytest.mark.parametrize(
    ("opened", "status"),
    [(0, "ok"), (49, "ok"), (50, "warning"), (249, "warning"), (250, "critical")],
)
def test_thresholds_are_new_sessions_a_second(opened: int, status: str) -> None:
    finding = judge(counters(opened, opened))
    assert finding.status is Status(status)
    assert cause(finding) == ("" if status == "ok" else "connection.churn")
    assert finding.measures[0].value == opened / WINDOW


@pytest.mark.parametrize(("lasting", "status"), [(10, Status.WARNING), (11, Status.OK)])
def test_sessions_that_last_are_a_growing_pool(lasting: int, status: Status) -> None:
    grown = looks([session(pid, backend_age=1.0) for pid in range(lasting)], [])
    assert judge(counters(60, 60), grown).status is status


def test_traffic_of_other_sessions_does_not_hide_it() -> None:
    assert judge(counters(60, 60_000)).status is Status.WARNING


def test_the_twin_with_lasting_connections_is_healthy() -> None:
    assert judge(counters(0, 300)).status is Status.OK


def test_our_own_statements_do_not_count() -> None:
    finding = judge(counters(50, 257, own=7))
    assert evidence(finding, "transactions_per_session") == 5.0


def test_limits_can_be_set() -> None:
    assert judge(counters(10, 10), warning=2.0).status is Status.WARNING
    assert judge(counters(10, 10), warning=1.0, critical=2.0).status is Status.CRITICAL


def test_the_application_is_named_by_the_sessions_caught_young() -> None:
    old = [session(pid, application="steady") for pid in range(11, 20)]
    first = [*old, session(20, application="reporting", backend_age=0.2)]
    last = [*old, session(21, application="reporting", backend_age=0.1)]
    finding = judge(counters(60, 60), looks(last, first))
    assert evidence(finding, "application") == "reporting"
    assert {(s.kind, s.value) for s in finding.subjects} == {
        ("application", "reporting"),
        ("pid", "20"),
        ("pid", "21"),
    }
    assert "2 of 2" in finding.evidence[-1].text


def test_a_session_seen_in_both_looks_is_counted_once() -> None:
    young = [session(20, application="reporting", backend_age=1.0)]
    assert "1 of 1" in judge(counters(60, 60), looks(young)).evidence[-1].text


@pytest.mark.parametrize("seen", [None, looks([session(11)])], ids=["not seen", "all old"])
def test_without_a_young_session_no_application_is_named(seen: Looks[Sessions] | None) -> None:
    finding = judge(counters(60, 60), seen)
    assert cause(finding) == "connection.churn"
    assert finding.subjects == ()


def test_who_comes_and_goes_is_named_with_role_and_address() -> None:
    caught = Newcomers(
        groups=(
            Newcomer(sessions=7, application="reporting", user="bi", client="10.0.0.9"),
            Newcomer(sessions=1, application="shop-api", user="shop"),
        )
    )
    finding = judge(counters(60, 60), looks([session(11)]), caught)
    assert evidence(finding, "application") == "reporting"
    text = finding.evidence[-1].text
    assert "7 of 8 sessions" in text
    assert "role bi, from 10.0.0.9" in text
    assert [str(subject) for subject in finding.subjects] == [
        "application reporting",
        "application shop-api",
    ]
