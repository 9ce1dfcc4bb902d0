"""Runs the real command as a separate process, with a configuration file of its own."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
WINDOW = 5.0
LIMIT = 90.0


@dataclass(frozen=True)
class Said:
    """What one run said: its JSON report, its exit code and its wall time in seconds."""

    report: Mapping[str, Any]
    exit_code: int
    seconds: float


class DoctorError(Exception):
    """The command gave no report; the message holds what it said instead."""


def doctor_command(*arguments: str) -> list[str]:
    """The command line that runs the real command."""
    return [sys.executable, "-m", "backend_doctor", *arguments]


def doctor_environment() -> dict[str, str]:
    """An environment in which it is found from any folder."""
    paths = filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


async def examine(
    services: Mapping[str, Mapping[str, Any]],
    folder: Path,
    sample_for: float = 0.0,
    more: Sequence[str] = (),
    limits: Mapping[str, Mapping[str, float]] | None = None,
) -> Said:
    """Runs ``check --format json`` with ``more`` options for these services, with ``limits`` by
    check where given. Raises DoctorError."""
    file = folder / "backend-doctor.yaml"
    file.touch(mode=0o600)
    given = {"limits": {check: dict(own) for check, own in limits.items()}} if limits else {}
    file.write_text(yaml.safe_dump({"services": services, **given}))
    options = ["--config", str(file), "--format", "json", "--window", f"{WINDOW:g}"]
    options += more
    if sample_for:
        options += ["--for", f"{sample_for:g}s"]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *doctor_command("check", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**doctor_environment(), "XDG_STATE_HOME": str(folder)},
    )
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), LIMIT)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise DoctorError(f"no report within {LIMIT:g} s") from None
    seconds = time.monotonic() - began
    try:
        report = json.loads(output)
    except ValueError:
        shown = (complaint or output).decode(errors="replace")[-1500:]
        raise DoctorError(f"exit {process.returncode}, no report: {shown}") from None
    return Said(report, process.returncode or 0, seconds)
