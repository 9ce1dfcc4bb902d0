"""`backend-doctor check` as anybody would run it: a process of its own, and its report."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from backend_doctor.demo.command import ENTRY, environment


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

    @property
    def explained(self) -> int:
        """How many findings are folded beneath the first root cause."""
        under = self.first["id"] if self.first else None
        folds = (f.get("explained_by") for f in self.report.get("findings", []))
        return sum(fold["under"] == under for fold in folds if fold)


async def examine(configuration: Path, *, show: bool, options: Sequence[str] = ()) -> Examined:
    """Run the check; ``show`` lets its text report go to standard output as it is."""
    saved = configuration.with_name("report.json")
    saved.unlink(missing_ok=True)
    command = [*ENTRY, "check", "--config", str(configuration), "-o", f"json={saved}", *options]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(), stdout=None if show else asyncio.subprocess.PIPE
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
