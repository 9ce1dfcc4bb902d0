"""Runs the statement by which a report itself would stop the bleeding."""

from typing import Any

from backend_doctor.demo.administrator import Administrator
from backend_doctor.demo.servers.postgres import SUPERUSER


async def stop_bleeding(administrator: Administrator, finding: dict[str, Any]) -> str:
    """Run the finding's first SQL of that kind; returns what it does, or "" without one."""
    for remedy in finding["remedies"]:
        if remedy["step"] == "stop" and remedy["language"] == "sql" and remedy["changes_state"]:
            async with administrator.session(SUPERUSER, "administrator") as session:
                await session.fetch(remedy["command"])
            return str(remedy["effect"])
    return ""
