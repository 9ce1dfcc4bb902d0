"""redis.reachability: the words are Redis's, the judgement is shared with other backends."""

import shlex

import pytest

from backend_doctor import Finding, Instance, Login, Problem, Status
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "redis" / "reachability.py")
FAILED = [problem for problem in Problem if problem is not Problem.NONE]


def judge(login: Login, host: str = "cache") -> Finding:
    place = Instance(
        service="shop", backend="redis", name="redis", address=login.address, host=host, port=6379
    )
    (finding,) = CHECK.function(login, place)
    return finding


def login(problem: Problem, **fields: str) -> Login:
    return Login(problem=problem, address="cache:6379/0", limit=5.0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("problem", FAILED)
def test_every_failure_is_critical_and_has_its_cause(problem: Problem) -> None:
    finding = judge(login(problem, message="said so"))
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.label == f"reach.{problem.value}"
    assert {subject.value for subject in finding.subjects} == {"cache:6379/0"}


def test_words_are_of_redis() -> None:
    finding = judge(login(Problem.WRONG_PROTOCOL, answered_by="HTTP"))
    assert finding.summary == "HTTP answers at cache:6379/0, not Redis."
    assert finding.cause is not None
    assert "Redis's usual port is 6379" in finding.cause.because


def test_a_login_is_fine() -> None:
    finding = judge(login(Problem.NONE, server="Valkey 9.1.2"))
    assert (finding.status, finding.summary) == (Status.OK, "Valkey 9.1.2 answers in 0 ms.")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("cache", ["redis-cli", "-h", "cache", "-p", "6379", "PING"]),
        ("/run/redis.sock", ["redis-cli", "-s", "/run/redis.sock", "PING"]),
        ("x; rm -rf /", ["redis-cli", "-h", "x; rm -rf /", "-p", "6379", "PING"]),
        ("/run/a b", ["redis-cli", "-s", "/run/a b", "PING"]),
    ],
)
def test_the_next_command_asks_the_same_place(host: str, words: list[str]) -> None:
    finding = judge(login(Problem.REFUSED, message="Connection refused"), host)
    assert words in [shlex.split(remedy.command) for remedy in finding.remedies]
