"""mongodb.reachability: the words are MongoDB's, the judgement is shared with other backends."""

import shlex

import pytest

from backend_doctor import Confidence, Finding, Instance, Login, Problem, Status
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "mongodb" / "reachability.py")
FAILED = [problem for problem in Problem if problem is not Problem.NONE]


def judge(login: Login, host: str = "mongo") -> Finding:
    place = Instance(
        service="shop",
        backend="mongodb",
        name="mongodb",
        address=login.address,
        host=host,
        port=27017,
    )
    (finding,) = CHECK.function(login, place)
    assert isinstance(finding, Finding)
    return finding


def login(problem: Problem, **fields: str) -> Login:
    return Login(problem=problem, address="mongo:27017/shop", limit=5.0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("problem", FAILED)
def test_every_failure_is_critical_and_has_its_cause(problem: Problem) -> None:
    finding = judge(login(problem, message="said so"))
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.label == f"reach.{problem.value}"


def test_words_are_of_mongodb() -> None:
    finding = judge(login(Problem.WRONG_PROTOCOL, answered_by="Redis"))
    assert finding.summary == "Redis answers at mongo:27017/shop, not MongoDB."
    assert finding.cause is not None
    assert "MongoDB's usual port is 27017" in finding.cause.because


def test_a_wrong_set_name_is_certain() -> None:
    finding = judge(login(Problem.OTHER, code="replicaSet", message="is a member of the set rs0"))
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.CERTAIN
    assert "finds no member" in finding.cause.because
    plain = judge(login(Problem.OTHER, message="cut off")).cause
    assert plain is not None
    assert plain.confidence is Confidence.POSSIBLE


def test_a_login_is_fine() -> None:
    finding = judge(login(Problem.NONE, server="MongoDB 6.0.5"))
    assert (finding.status, finding.summary) == (Status.OK, "MongoDB 6.0.5 answers in 0 ms.")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("mongo", ["--host", "mongo", "--port", "27017"]),
        ("/run/m db.sock", ["/run/m db.sock"]),
        ("x; rm -rf /", ["--host", "x; rm -rf /", "--port", "27017"]),
    ],
)
def test_the_next_command_asks_the_same_place(host: str, words: list[str]) -> None:
    finding = judge(login(Problem.REFUSED, message="Connection refused"), host)
    wanted = ["mongosh", "--quiet", *words, "--eval", "db.hello()"]
    assert wanted in [shlex.split(remedy.command) for remedy in finding.remedies]
