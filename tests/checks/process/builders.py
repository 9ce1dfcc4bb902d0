"""Facts of processes by hand: a series is given by what its memory, files and threads do."""

from collections.abc import Callable

from backend_doctor import Instance
from backend_doctor.backends.process.connection import Member
from backend_doctor.backends.process.limits import Kind, MemoryLimit, MemoryLimits
from backend_doctor.backends.process.samples import MemorySamples, Sample, Series

MIB = 2**20
WEB = Instance(
    service="shop", backend="process", name="process", address="port 8000", host="port 8000", port=0
)
Course = Callable[[float], float]
"""MiB or a number, by seconds since the first sample."""


def still(value: float) -> Course:
    return lambda at: value


def rising(start: float, per_minute: float) -> Course:
    return lambda at: start + per_minute * at / 60


HUNDRED, TWENTY, FOUR = still(100), still(20), still(4)


def member(pid: int = 4711, role: str = "main") -> Member:
    return Member(pid=pid, role=role, name="python", user="app", started=1)


def series(
    seconds: float = 600,
    memory: Course = HUNDRED,
    files: Course | None = TWENTY,
    threads: Course = FOUR,
    *,
    pid: int = 4711,
    role: str = "main",
    age: float = 1e6,
    file_limit: int | None = 1024,
    busy: float = 0.2,
) -> Series:
    """120 samples over so many seconds, with ``busy`` of a core used."""
    ats = [seconds * index / 120 for index in range(121)]
    return Series(
        member=member(pid, role),
        samples=tuple(
            Sample(
                1.7e9 + at,
                int((memory(at) + 10) * MIB),
                int(memory(at) * MIB),
                int((memory(at) + 300) * MIB),
                int(threads(at)),
                None if files is None else int(files(at)),
                busy * at,
            )
            for at in ats
        ),
        age=age,
        file_limit=file_limit,
    )


def samples(*found: Series, notes: tuple[str, ...] = ()) -> MemorySamples:
    return MemorySamples(series=found, seconds=5.0, notes=notes)


def limits(used: float, limit: float = 512, kind: Kind = "cgroup") -> MemoryLimits:
    return MemoryLimits(
        limits=(
            MemoryLimit(
                kind=kind,
                limit=int(limit * MIB),
                used=int(used * MIB),
                source="/sys/fs/cgroup/memory.max",
            ),
        )
    )
