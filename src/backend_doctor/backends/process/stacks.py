"""What the application's threads are at: several dumps of the stacks, and where they stood."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, ClassVar, Self

import msgspec

from backend_doctor.backends.process import procfs, pyspy
from backend_doctor.backends.process.connection import Member, ProcessConnection
from backend_doctor.facts import Absent, Fact
from backend_doctor.text import storable

DUMPS = 8
SPACING = 0.1
MOST_PROCESSES = 4
# of the standard library's ways to wait; any other innermost frame is work, or blocks the loop
_WAITING_FILES = {"selectors.py"}
_LOOP_FILES = {"asyncio", "uvloop"}
# in what is installed, these are not the application's own
_INSTALLED = ("site-packages", "dist-packages")


class Place(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A function, its file as the application names it, and the line that ran."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One process over its dumps. ``loop`` says that its thread runs an event loop.

    ``busy`` are the dumps in which that thread (or the main one) did not wait for events;
    ``places`` where it then stood, the most frequent first, with the number of dumps.
    """

    member: Member
    dumps: int
    loop: bool
    busy: int
    places: tuple[tuple[Place, int], ...] = ()

    @property
    def share(self) -> float:
        """Busy of all dumps."""
        return self.busy / self.dumps if self.dumps else 0.0


def _file(frame: dict[str, Any]) -> str:
    return str(frame.get("filename") or "")


def _installed(path: str) -> bool:
    return any(part in _INSTALLED for part in PurePosixPath(path).parts)


def _standard(path: str) -> bool:
    """Whether a file belongs to the standard library, or is none at all (frozen, built in)."""
    pairs = pairwise(PurePosixPath(path).parts)
    library = any(a == "lib" and b.startswith("python3") for a, b in pairs)
    return path.startswith("<") or (library and not _installed(path))


def _own(path: str) -> bool:
    return bool(path) and not _standard(path) and not _installed(path)


def runs_loop(frames: Iterable[dict[str, Any]]) -> bool:
    """Whether an event loop is on this stack, asyncio's own or uvloop under asyncio's runner."""
    return any(
        PurePosixPath(_file(frame)).parent.name in _LOOP_FILES or "uvloop" in _file(frame)
        for frame in frames
    )


def waits(frames: list[dict[str, Any]]) -> bool:
    """Whether the loop's thread waits for events.

    asyncio stands in its selector. uvloop is no Python frame, so there the innermost one is the
    runner's that called it.
    """
    if not frames:
        return True
    innermost = frames[0]
    file = PurePosixPath(_file(innermost))
    if file.name in _WAITING_FILES:
        return True
    runner = file.name in ("runners.py", "base_events.py") and file.parent.name == "asyncio"
    name = str(innermost.get("name", "")).rpartition(".")[2]
    return runner and name in ("run", "run_until_complete", "run_forever")


def place_of(frames: list[dict[str, Any]]) -> Place:
    """The innermost frame of the application's own, else of an installed package, else any."""
    for fits in (_own, lambda path: not _standard(path), bool):
        for frame in frames:
            if fits(_file(frame)):
                return Place(
                    function=storable(str(frame.get("name", "?"))),
                    file=storable(str(frame.get("short_filename") or _file(frame))),
                    line=int(frame.get("line") or 0),
                )
    return Place(function="?", file="?", line=0)


def watched_thread(threads: list[dict[str, Any]], pid: int) -> list[dict[str, Any]]:
    """The frames of the thread that runs the event loop, else of the main thread."""
    ours = sorted(threads, key=lambda thread: thread.get("os_thread_id") != pid)
    for thread in ours:
        if runs_loop(thread.get("frames") or ()):
            return list(thread["frames"])
    return list(ours[0].get("frames") or ()) if ours else []


def activity(member: Member, dumps: list[list[dict[str, Any]]]) -> Activity:
    """What several dumps of one process say."""
    stacks = [watched_thread(threads, member.pid) for threads in dumps]
    busy = [frames for frames in stacks if not waits(frames)]
    places = Counter(place_of(frames) for frames in busy)
    return Activity(
        member=member,
        dumps=len(stacks),
        loop=any(runs_loop(frames) for frames in stacks),
        busy=len(busy),
        places=tuple(places.most_common(3)),
    )


class Stacks(Fact, frozen=True):
    """What each process was doing; ``notes`` say whose stacks could not be read, and why."""

    seconds_limit: ClassVar[float] = 2 * DUMPS * (pyspy.SECONDS_LIMIT + SPACING)

    activities: tuple[Activity, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    async def collect(cls, process: ProcessConnection) -> Self:
        """Some dumps of each process, irregularly 0.1 s apart."""
        serving = [one for one in process.members if one.role != "master"][:MOST_PROCESSES]
        dumps: dict[Member, list[list[dict[str, Any]]]] = {one: [] for one in serving}
        refused: dict[Member, str] = {}
        for _ in range(DUMPS):
            for one in serving:
                if one not in refused:
                    await _dump_into(dumps[one], one, process, refused)
            if len(refused) == len(serving):
                break
            # irregular, so as not to run in step with what the process does
            await asyncio.sleep(SPACING * random.uniform(0.5, 1.5))  # noqa: S311
        found = tuple(activity(one, seen) for one, seen in dumps.items() if seen)
        return cls(activities=found, notes=tuple(dict.fromkeys(refused.values())))


async def _dump_into(
    seen: list[list[dict[str, Any]]],
    member: Member,
    process: ProcessConnection,
    refused: dict[Member, str],
) -> None:
    try:
        procfs.read(member.pid, member.started)
        process.statements += 1
        seen.append(await pyspy.dump(member.pid))
    except Absent as absent:
        refused[member] = str(absent)
    except (procfs.GoneError, PermissionError) as error:
        refused[member] = str(error)
    except pyspy.TornError:
        return
