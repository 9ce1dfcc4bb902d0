"""What both checks of an HTTP address say of its login: theirs is one judgement."""

import shlex
from typing import ClassVar

import pytest

from backend_doctor import Finding, Instance, Login, Problem, Status
from backend_doctor.registry import bundled_folder, load_file

FAILED = [problem for problem in Problem if problem is not Problem.NONE]


class WebReachability:
    """The tests of the check ``<kind>.reachability``."""

    kind: ClassVar[str]

    def judge(self, problem: Problem, host: str = "api", port: int = 443, **fields: str) -> Finding:
        check = load_file(bundled_folder() / self.kind / "reachability.py")
        login = Login(problem=problem, address="api:443", limit=5.0, **fields)  # type: ignore[arg-type]
        place = Instance(
            service="shop",
            backend=self.kind,
            name=self.kind,
            address="api:443",
            host=host,
            port=port,
        )
        (finding,) = check.function(login, place)
        assert isinstance(finding, Finding)
        return finding

    @pytest.mark.parametrize("problem", FAILED)
    def test_every_failure_is_critical_and_has_its_cause(self, problem: Problem) -> None:
        finding = self.judge(problem, message="said so")
        assert finding.status is Status.CRITICAL
        assert finding.cause is not None
        assert finding.cause.label == f"reach.{problem.value}"

    def test_an_answer_is_fine(self) -> None:
        assert self.judge(Problem.NONE, server="nginx").summary == "nginx answers in 0 ms."

    @pytest.mark.parametrize(
        ("host", "port", "url"),
        [
            ("api", 443, "https://api:443/"),
            ("::1", 8000, "http://[::1]:8000/"),
            ("x; rm -rf /", 80, "http://x; rm -rf /:80/"),
        ],
    )
    def test_the_next_command_asks_the_same_place(self, host: str, port: int, url: str) -> None:
        finding = self.judge(Problem.REFUSED, host, port)
        assert url in [shlex.split(remedy.command)[-1] for remedy in finding.remedies]
