"""`backend-doctor check` as anybody would run it: a process of its own, and its report."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import backend_doctor

# what would lead the drivers or the configuration away from the demo's own servers
_MISLEADING = ("PG", "BACKEND_DOCTOR", "DATABASE_URL", "REDIS_URL")


class Examined(NamedTuple):
    """Exit code, the text report unless it was shown, and the JSON report."""

    exit_code: int
    text: str
    report: dict[str, Any]

    @property
    def causes(self) -> list[str]:
        """Labels of the root causes, first things first."""
        return [cause["label"] for cause in self.report.get("causes", [])]

    @property
    def first(self) -> dict[str, Any] | None:
        """The finding of the first root cause."""
        causes = self.report.get("causes", [])
        named = causes[0]["finding"] if causes else None
        return next((f for f in self.report.get("findings", []) if f["id"] == named), None)


async def examine(configuration: Path, *, show: bool) -> Examined:
    """Run the check; ``show`` lets its text report go to standard output as it is."""
    saved = configuration.with_name("report.json")
    saved.unlink(missing_ok=True)
    command = [sys.executable, "-m", "backend_doctor", "check", "--config", str(configuration)]
    command += ["-o", f"json={saved}"]
    process = await asyncio.create_subprocess_exec(
        *command, env=_environment(), stdout=None if show else asyncio.subprocess.PIPE
    )
    try:
        text, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    report = json.loads(saved.read_text()) if saved.exists() else {}
    return Examined(process.returncode or 0, (text or b"").decode(), report)


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_MISLEADING)}
    here = str(Path(backend_doctor.__file__).parents[1])
    path = os.pathsep.join(filter(None, (here, kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path}
