"""The tool as a user runs it: a process of its own, with nothing of our environment."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

LIMIT = 45.0


@dataclass(frozen=True)
class Ran:
    """How a run ended; ``code`` as a shell would say it."""

    code: int
    out: str
    err: str
    seconds: float

    @cached_property
    def report(self) -> dict[str, Any]:
        """The JSON report on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def findings(self, port: int | None = None) -> list[dict[str, Any]]:
        """All findings, or those of the one target at ``port``."""
        places = {
            (target["service"], target["backend"], target["instance"])
            for target in self.report["targets"]
            if port is None or f":{port}" in target["address"]
        }
        return [
            finding
            for finding in self.report["findings"]
            if (finding["service"], finding["backend"], finding["instance"]) in places
        ]

    def causes(self, port: int | None = None) -> set[str]:
        """The causes named, at all or for the target at ``port``."""
        return {f["cause"]["label"] for f in self.findings(port) if f["cause"]}

    def finding(self, check: str, port: int | None = None) -> dict[str, Any]:
        """The one finding of a check."""
        (found,) = [f for f in self.findings(port) if f["check"] == check]
        return found

    def target(self, port: int) -> dict[str, Any]:
        """The one target at ``port``."""
        (found,) = [t for t in self.report["targets"] if f":{port}" in t["address"]]
        return dict(found)


def environment(**variables: str) -> dict[str, str]:
    """A bare environment: no configuration of this machine is found."""
    return {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
        **variables,
    }


def spawn(*arguments: str, cwd: str = "/", **variables: str) -> subprocess.Popen[str]:
    """Starts ``backend-doctor`` with these arguments and variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "backend_doctor", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=cwd,
        env=environment(**variables),
    )


def ended(process: subprocess.Popen[str], started: float) -> Ran:
    """Waits for the end; nothing we start outlives its test, and no run shows a traceback."""
    try:
        out, err = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.wait()
    code = process.returncode
    assert "Traceback" not in out + err, out + err
    assert "fault of its own" not in err, err
    return Ran(code if code >= 0 else 128 - code, out, err, time.monotonic() - started)


def run(*arguments: str, cwd: str = "/", **variables: str) -> Ran:
    """Runs ``backend-doctor`` to its end."""
    return ended(spawn(*arguments, cwd=cwd, **variables), time.monotonic())


def check(*arguments: str, **variables: str) -> Ran:
    """``check`` with a JSON report, of all given variables unless targets are named."""
    targets = [f"env:{name}" for name in variables]
    return run("check", "--format", "json", *targets, *arguments, **variables)
