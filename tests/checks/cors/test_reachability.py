"""cors.reachability: the judgement is shared with other backends."""

import shlex

import pytest

from backend_doctor import Finding, Instance, Login, Problem, Status
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "cors" / "reachability.py")
FAILED = [problem for problem in Problem if problem is not Problem.NONE]


def judge(problem: Problem, host: str = "api", port: int = 443, **fields: str) -> Finding:
    login = Login(problem=problem, address="api:443", limit=5.0, **fields)  # type: ignore[arg-type]
    place = Instance(
        service="shop", backend="cors", name="cors", address="api:443", host=host, port=port
    )
    (finding,) = CHECK.function(login, place)
    assert isinstance(finding, Finding)
    return finding


@pytest.mark.parametrize("problem", FAILED)
def test_every_failure_is_critical_and_has_its_cause(problem: Problem) -> None:
    finding = judge(problem, message="said so")
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.label == f"reach.{problem.value}"


def test_an_answer_is_fine() -> None:
    assert judge(Problem.NONE, server="nginx").summary == "nginx answers in 0 ms."


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("api", 443, "https://api:443/"),
        ("::1", 8000, "http://[::1]:8000/"),
        ("x; rm -rf /", 80, "http://x; rm -rf /:80/"),
    ],
)
def test_the_next_command_asks_the_same_place(host: str, port: int, url: str) -> None:
    finding = judge(Problem.REFUSED, host, port)
    assert url in [shlex.split(remedy.command)[-1] for remedy in finding.remedies]
