"""py-spy, run from its wheel: one dump of the stacks, which never stops the process.

Never with ``--locals``: those are the values of arguments, secrets among them.
"""

import asyncio
import contextlib
import os
import shutil
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import msgspec

from backend_doctor.facts import AbsenceKind, Absent

SECONDS_LIMIT = 2.0
# without the capability the error is about the program's name, not about permission
_FORBIDDEN = ("permission denied", "operation not permitted", "process executable name")
_NOT_PYTHON = "failed to find python version"


class TornError(Exception):
    """The stack changed while it was read; another try will do."""


@cache
def binary() -> str:
    """The program's path. Raises Absent when it is not installed."""
    with contextlib.suppress(PackageNotFoundError):
        for file in distribution("py-spy").files or ():
            path = Path(str(file.locate()))
            if file.name in ("py-spy", "py-spy.exe") and path.exists():
                return str(path)
    found = shutil.which("py-spy")
    if found is None:
        raise Absent("py-spy is not installed", remedy="pip install py-spy")
    return found


def forbidden(pid: int) -> Absent:
    """What is missing, by name."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    yama = scope.read_text().strip() if scope.exists() else "0"
    reason = f"the stacks of process {pid} may not be read: that needs the capability SYS_PTRACE"
    if os.geteuid() and yama != "0":
        reason += f" (kernel.yama.ptrace_scope is {yama})"
    elif os.geteuid():
        reason += " or to be the process's own user"
    else:
        reason += " (root in a container is without it: docker run --cap-add SYS_PTRACE)"
    return Absent(reason)


def _refused(pid: int, said: str) -> Exception:
    lower = said.lower()
    if _NOT_PYTHON in lower:
        return Absent(f"process {pid} does not run Python", kind=AbsenceKind.NOT_APPLICABLE)
    if any(text in lower for text in _FORBIDDEN):
        return forbidden(pid)
    return TornError(said.strip().partition("\n")[0])


async def dump(pid: int) -> list[dict[str, Any]]:
    """The threads of one Python process, each with its frames, innermost first.

    Raises Absent where that cannot be, TornError where it may go better the next time.
    """
    process = await asyncio.create_subprocess_exec(
        binary(),
        *("dump", "--nonblocking", "--json", "--pid", str(pid)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS_LIMIT):
            output, said = await process.communicate()
    except TimeoutError:
        raise TornError(f"no dump within {SECONDS_LIMIT:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise _refused(pid, said.decode("utf-8", "replace"))
    try:
        return msgspec.json.decode(output, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise TornError(f"a torn dump: {error}") from error
