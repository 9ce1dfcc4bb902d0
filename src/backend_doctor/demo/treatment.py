"""Runs the command by which a report itself would stop the bleeding."""

import shlex
from typing import Any

from backend_doctor.demo.patient import Patient
from backend_doctor.demo.servers.postgres import SUPERUSER


async def stop_bleeding(patient: Patient, finding: dict[str, Any]) -> str:
    """Run the finding's first command of that kind; returns what it does, or "" without one."""
    for remedy in finding["remedies"]:
        if remedy["step"] != "stop" or not remedy["changes_state"]:
            continue
        if remedy["language"] == "sql":
            async with patient.session(SUPERUSER, "administrator") as session:
                await session.fetch(remedy["command"])
        elif remedy["language"] == "redis":
            for line in remedy["command"].splitlines():
                await patient.cache.execute_command(*shlex.split(line))  # type: ignore[no-untyped-call]
        else:
            continue
        return str(remedy["effect"])
    return ""
