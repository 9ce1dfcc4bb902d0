"""rabbitmq.reachability: the words are RabbitMQ's, the judgement is shared with other backends."""

import subprocess
from typing import Any

import pytest
from tests.servers.listener import BannerServer

from backend_doctor import Finding, Instance, Login, Problem, Status
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "rabbitmq" / "reachability.py")
FAILED = [problem for problem in Problem if problem is not Problem.NONE]


def judge(login: Login, host: str = "broker", port: int = 5672) -> Finding:
    place = Instance(
        service="shop",
        backend="rabbitmq",
        name="rabbitmq",
        address=login.address,
        host=host,
        port=port,
    )
    (finding,) = CHECK.function(login, place)
    assert isinstance(finding, Finding)
    return finding


def login(problem: Problem, **fields: Any) -> Login:
    return Login(problem=problem, address="broker:5672", limit=5.0, **fields)


@pytest.mark.parametrize("problem", FAILED)
def test_every_failure_is_critical_and_has_its_cause(problem: Problem) -> None:
    finding = judge(login(problem, message="said so"))
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.label == f"reach.{problem.value}"


def test_words_are_of_rabbitmq() -> None:
    finding = judge(login(Problem.WRONG_PROTOCOL, answered_by="HTTP"))
    assert finding.summary == "HTTP answers at broker:5672, not RabbitMQ."
    assert finding.cause is not None
    assert "RabbitMQ's usual port is 5672" in finding.cause.because


def test_a_missing_virtual_host_is_no_wrong_password() -> None:
    said = "NOT_ALLOWED - vhost nope not found"
    cause = judge(login(Problem.LOGIN, code="530", message=said)).cause
    assert cause is not None
    assert "no virtual host" in cause.because
    refused = judge(login(Problem.LOGIN, code="403", message="ACCESS_REFUSED")).cause
    assert refused is not None
    assert "credentials" in refused.because


def test_a_login_is_fine() -> None:
    finding = judge(login(Problem.NONE, server="RabbitMQ 3.10.8"))
    assert (finding.status, finding.summary) == (Status.OK, "RabbitMQ 3.10.8 answers in 0 ms.")


def ping(finding: Finding) -> str:
    return next(r.command for r in finding.remedies if r.command.startswith("timeout"))


def test_the_next_command_shows_who_answers() -> None:
    with BannerServer("ssh") as other:
        failed = judge(login(Problem.TIMED_OUT), other.host, other.port)
        ran = subprocess.run(
            ["sh", "-c", ping(failed)], capture_output=True, text=True, timeout=10, check=True
        )
    assert "SSH-2.0" in ran.stdout


def test_a_hostile_host_stays_an_argument(tmp_path: Any) -> None:
    failed = judge(login(Problem.REFUSED), f"x'; touch {tmp_path}/hit; '$(touch {tmp_path}/hit)")
    subprocess.run(["sh", "-c", ping(failed)], capture_output=True, timeout=10, check=False)
    assert not list(tmp_path.iterdir())
