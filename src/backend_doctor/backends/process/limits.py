"""How much memory the process may have: its control groups, its address space, the machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import msgspec

from backend_doctor.backends.process import procfs
from backend_doctor.backends.process.connection import ProcessConnection
from backend_doctor.facts import Fact

CGROUPS = Path("/sys/fs/cgroup")
# version 1 says "no limit" by a number near 2^63, rounded down to pages
_NO_LIMIT = 2**60

Kind = Literal["cgroup", "address_space", "machine"]


class MemoryLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit in bytes and what counts against it.

    ``used`` of a control group is its working set: usage of all its processes less the cache
    that can be dropped. ``pid`` is the process that an address space belongs to, else 0.
    """

    kind: Kind
    limit: int
    used: int
    source: str
    pid: int = 0

    @property
    def share(self) -> float:
        """Used of the limit, 1 when it is reached."""
        return self.used / self.limit


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return None
    return int(text) if text.isdigit() else None


def _droppable(folder: Path, key: str) -> int:
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError):
        return 0
    fields = dict(line.split(" ", 1) for line in lines if " " in line)
    value = fields.get(key, "0")
    return int(value) if value.isdigit() else 0


def _group(folder: Path) -> MemoryLimit | None:
    """The limit of one group of either version, told apart by its files."""
    if (folder / "memory.max").exists():
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        droppable, source = _droppable(folder, "inactive_file"), "memory.max"
    else:
        limit = _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.usage_in_bytes")
        droppable = _droppable(folder, "total_inactive_file")
        source = "memory.limit_in_bytes"
    if not limit or limit >= _NO_LIMIT or used is None:
        return None
    return MemoryLimit(
        kind="cgroup", limit=limit, used=max(0, used - droppable), source=str(folder / source)
    )


def _mount(root: Path, controller: str) -> Path:
    """Where a hierarchy is mounted: version 2 alone, or beside version 1."""
    if controller:
        return root / controller
    return root / "unified" if (root / "unified").is_dir() else root


def cgroup_limits(paths: dict[str, str], root: Path = CGROUPS) -> Iterator[MemoryLimit]:
    """The limits of the process's group and of all above it, as far as they are seen from here.

    ``paths`` is controller to path. In a container the path may be another namespace's: then
    what counts is the mount itself.
    """
    for controller, path in paths.items():
        if controller not in ("", "memory"):
            continue
        mount = _mount(root, controller)
        folder = mount / path.strip("/")
        if ".." in folder.parts or not folder.is_dir():
            folder = mount
        for place in (folder, *folder.parents):
            found = _group(place)
            if found is not None:
                yield found
            if place == mount:
                break


def address_space(pid: int, virtual: int) -> MemoryLimit | None:
    """RLIMIT_AS of one process, if it has any."""
    limit = procfs.soft_limit(pid, "Max address space")
    if not limit:
        return None
    source = f"/proc/{pid}/limits, Max address space"
    return MemoryLimit(kind="address_space", limit=limit, used=virtual, source=source, pid=pid)


def machine(text: str) -> MemoryLimit | None:
    """All memory of the machine, from /proc/meminfo's text."""
    fields = procfs.parse_status(text)
    total, free = (
        int(value) * 1024 if (value := fields.get(key, "").partition(" ")[0]).isdigit() else 0
        for key in ("MemTotal", "MemAvailable")
    )
    if not total:
        return None
    source = "/proc/meminfo, MemTotal and MemAvailable"
    return MemoryLimit(kind="machine", limit=total, used=total - free, source=source)


class MemoryLimits(Fact, frozen=True):
    """All limits that hold for the process, the tightest first."""

    limits: tuple[MemoryLimit, ...]

    @property
    def tightest(self) -> MemoryLimit | None:
        """The one of which the largest share is used."""
        return self.limits[0] if self.limits else None

    @classmethod
    async def collect(cls, process: ProcessConnection) -> Self:
        """Reads the files of the process's control groups, its limits and the machine's memory."""
        found: dict[str, MemoryLimit] = {}
        for member in process.members:
            try:
                virtual = procfs.read(member.pid, member.started).virtual
            except (procfs.GoneError, PermissionError):
                continue
            own = address_space(member.pid, virtual)
            for limit in (*cgroup_limits(procfs.cgroup_paths(member.pid)), own):
                if limit is not None:
                    found.setdefault(limit.source, limit)
        whole = machine((procfs.PROC / "meminfo").read_text(encoding="ascii"))
        everything = (*found.values(), *((whole,) if whole else ()))
        return cls(limits=tuple(sorted(everything, key=lambda one: one.share, reverse=True)))
