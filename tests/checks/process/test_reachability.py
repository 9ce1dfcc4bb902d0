"""process.reachability: gone, hidden and ambiguous are three things."""

import shlex

import pytest

from backend_doctor import Finding, Instance, Login, Problem, Status
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "process" / "reachability.py")


def judge(problem: Problem, address: str = "port 8000", **fields: str) -> Finding:
    login = Login(problem=problem, address=address, limit=5.0, **fields)  # type: ignore[arg-type]
    place = Instance(
        service="shop", backend="process", name="process", address=address, host=address, port=0
    )
    (finding,) = CHECK.function(login, place)
    return finding


@pytest.mark.parametrize(
    ("problem", "label"),
    [
        (Problem.REFUSED, "reach.refused"),
        (Problem.RIGHTS, "reach.rights"),
        (Problem.OTHER, "reach.other"),
        (Problem.TIMED_OUT, "reach.other"),
    ],
)
def test_every_failure_is_critical_and_has_its_cause(problem: Problem, label: str) -> None:
    finding = judge(problem, message="no process listening on port 8000 of this machine")
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.label == label
    assert finding.summary == "No process listening on port 8000 of this machine."
    assert {subject.value for subject in finding.subjects} == {"port 8000"}


def test_a_process_that_runs_is_fine() -> None:
    finding = judge(Problem.NONE, server="python, pid 4711 with 2 workers")
    assert finding.status is Status.OK
    assert finding.summary == "python, pid 4711 with 2 workers runs."


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("port 8000", "sport = :8000"),
        ("pid 12", "12"),
        ("cmdline uvicorn shop; rm -rf /", "uvicorn shop; rm -rf /"),
        ("unit shop.service", "shop.service"),
    ],
)
def test_the_next_command_looks_for_the_same(address: str, word: str) -> None:
    finding = judge(Problem.REFUSED, address, message="no process")
    assert word in shlex.split(finding.remedies[0].command)
