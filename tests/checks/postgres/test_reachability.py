"""postgres.reachability: each way not to get in has a cause and words of its own."""

import shlex

import msgspec
import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, instance, run

from backend_doctor import Confidence, Login, Problem, Status, Subject

FAILED = [problem for problem in Problem if problem is not Problem.NONE]


def login(problem: Problem, **fields: object) -> Login:
    plain = {
        "problem": problem,
        "address": "db:5432/shop",
        "message": "said so",
        "seconds": 0.25,
        "limit": 5.0,
        **fields,
    }
    return msgspec.convert(plain, Login)


@pytest.mark.parametrize("problem", FAILED)
def test_every_failure_is_critical_and_has_its_cause(problem: Problem) -> None:
    (finding,) = run("reachability", login(problem, code="XX000"), instance())
    assert (finding.status, cause(finding)) == (Status.CRITICAL, f"reach.{problem.value}")
    assert finding.subjects == (Subject(kind="login", value="db:5432/shop"),)
    assert evidence(finding, "login_problem") == problem.value
    assert "0.25 s of 5 s" in finding.evidence[0].text
    assert "db:5432/shop" in finding.summary
    assert finding.remedies
    assert not any(remedy.changes_state for remedy in finding.remedies)


def test_the_failures_are_told_apart_in_words() -> None:
    found = [run("reachability", login(problem), instance())[0] for problem in FAILED]
    assert len({finding.summary for finding in found}) == len(FAILED)
    assert len({finding.cause.because for finding in found if finding.cause}) == len(FAILED)


def test_only_the_unexplained_one_is_a_guess() -> None:
    for problem in FAILED:
        (finding,) = run("reachability", login(problem), instance())
        assert finding.cause is not None
        certain = finding.cause.confidence is Confidence.CERTAIN
        assert certain == (problem is not Problem.OTHER)


def test_who_answers_instead_is_named() -> None:
    wrong = login(Problem.WRONG_PROTOCOL, answered_by="Redis")
    (finding,) = run("reachability", wrong, instance())
    assert finding.summary == "Redis answers at db:5432/shop, not PostgreSQL."
    assert finding.cause is not None
    assert "5432" in finding.cause.because


def test_a_login_is_fine_and_keeps_its_notes() -> None:
    fine = login(Problem.NONE, server="PostgreSQL 18.6", notes=("a pooler stands between",))
    (finding,) = run("reachability", fine, instance())
    assert (finding.status, finding.summary) == (Status.OK, "PostgreSQL 18.6 answers in 250 ms.")
    assert finding.notes == ("a pooler stands between",)
    assert (finding.measures[0].value, finding.measures[0].unit) == (0.25, "s")


@pytest.mark.parametrize("problem", FAILED)
def test_a_hostile_host_stays_one_word_of_the_shell(problem: Problem) -> None:
    hostile = msgspec.structs.replace(instance(), host=HOSTILE)
    (finding,) = run("reachability", login(problem), hostile)
    for remedy in finding.remedies:
        words = shlex.split(remedy.command)
        assert HOSTILE in words or "DROP" not in remedy.command
