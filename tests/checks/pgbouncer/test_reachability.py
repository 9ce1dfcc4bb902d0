"""pgbouncer.reachability: the words are PgBouncer's, the judgement is shared."""

import shlex

import pytest
from tests.checks.pgbouncer.builders import bouncer, run

from backend_doctor import Finding, Login, Problem, Status

FAILED = [problem for problem in Problem if problem is not Problem.NONE]


def judge(problem: Problem, host: str = "pool", **fields: str) -> Finding:
    login = Login(problem=problem, address="pool:6432/pgbouncer", limit=5.0, **fields)  # type: ignore[arg-type]
    (finding,) = run("reachability", login, bouncer(host=host))
    return finding


@pytest.mark.parametrize("problem", FAILED)
def test_every_failure_is_critical_and_has_its_cause(problem: Problem) -> None:
    finding = judge(problem, message="said so")
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.label == f"reach.{problem.value}"


def test_words_are_of_pgbouncer() -> None:
    finding = judge(Problem.WRONG_PROTOCOL, answered_by="PostgreSQL")
    assert finding.summary == "PostgreSQL answers at pool:6432/pgbouncer, not PgBouncer."
    assert finding.cause is not None
    assert "PgBouncer's usual port is 6432" in finding.cause.because
    rights = judge(Problem.RIGHTS, message="not allowed")
    assert "backend-doctor grants pgbouncer" in {one.command for one in rights.remedies}


def test_a_login_is_fine() -> None:
    assert judge(Problem.NONE, server="PgBouncer 1.18.0").summary == (
        "PgBouncer 1.18.0 answers in 0 ms."
    )


@pytest.mark.parametrize("host", ["pool", "/tmp", "x; rm -rf /"])
def test_the_next_command_asks_the_same_place(host: str) -> None:
    finding = judge(Problem.REFUSED, host, message="Connection refused")
    wanted = ["psql", "-h", host, "-p", "6432", "-U", "doctor", "-d", "pgbouncer"]
    assert [*wanted, "-c", "SHOW VERSION"] in [shlex.split(r.command) for r in finding.remedies]
