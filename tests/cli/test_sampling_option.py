"""``check --for``: how long, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend_doctor.cli.check import command

RUNNER = CliRunner()


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "doctor.yaml"
    file.write_text(f"services: {{shop: {{process: {{pid: {os.getpid()}}}}}}}\n")
    return file


@pytest.mark.parametrize("text", ["0", "10x", "-5", "soon", "7h", "1e3", ""])
def test_what_is_no_duration_is_refused_in_one_line(configuration: Path, text: str) -> None:
    run = RUNNER.invoke(command, ["--config", str(configuration), "--for", text])
    assert run.exit_code != 0
    assert "expected 1s to 6h, such as 90s, 10m or 1h" in run.output


def test_a_deadline_before_its_end_is_refused(configuration: Path) -> None:
    run = RUNNER.invoke(
        command, ["--config", str(configuration), "--for", "1m", "--deadline", "30"]
    )
    assert "--deadline 30 ends the run before --for 60 seconds are over" in str(run.exception)


@pytest.mark.parametrize(("text", "seconds"), [("2s", 2.0), ("1.5", 1.5), ("0.025m", 1.5)])
def test_it_samples_for_so_long(configuration: Path, text: str, seconds: float) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "backend_doctor", "check", "--config", str(configuration)),
            *("--for", text, "--format", "json", "-v"),
        ],
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    report = json.loads(run.stdout)
    (growth,) = [f for f in report["findings"] if f["check"] == "process.memory_growth"][:1]
    assert seconds <= report["run"]["seconds"] < seconds + 8
    assert "over 2 s" in growth["summary"] or "too short" in growth["summary"]
