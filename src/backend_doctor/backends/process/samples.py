"""Memory, open files and threads over time: sampled now, and joined with earlier runs' samples."""

import asyncio
import time
from typing import Any, ClassVar, Self

import msgspec

from backend_doctor.backends.process import procfs
from backend_doctor.backends.process.connection import Member, ProcessConnection
from backend_doctor.facts import Absent, Fact, Instance
from backend_doctor.history import History, HistoryError

# what is sampled for longer is sampled less often: some 240 samples in all
_SAMPLES, _FASTEST, _SLOWEST = 240, 0.2, 5.0
# no trend is judged over more than this, so no older sample is looked for
EARLIER_SECONDS = 2 * 3600.0
_MOST_EARLIER = 720
# what is kept for later runs: at most one sample in this many seconds
_KEPT_EVERY = 2.0
DEFAULT_SECONDS = 5.0


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One look: seconds since 1970, bytes, counts, seconds of processor time so far."""

    at: float
    rss: int
    anonymous: int | None
    virtual: int
    threads: int
    files: int | None
    cpu: float

    @property
    def memory(self) -> int:
        """The process's own bytes: anonymous where the kernel tells, else all that is resident."""
        return self.rss if self.anonymous is None else self.anonymous


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One process's samples in time's order; the first ``earlier`` are from runs before.

    ``age`` is the process's in seconds at the last sample, ``ended`` whether it ended meanwhile,
    ``file_limit`` how many files it may open, None for any number.
    """

    member: Member
    samples: tuple[Sample, ...]
    earlier: int = 0
    age: float = 0.0
    ended: bool = False
    file_limit: int | None = None


def interval_of(seconds: float) -> float:
    """Seconds between two samples of a stretch."""
    return min(_SLOWEST, max(_FASTEST, seconds / _SAMPLES))


def look(member: Member, at: float) -> Sample:
    """One sample. Raises procfs.GoneError."""
    found = procfs.read(member.pid, member.started)
    return Sample(
        round(at, 2),
        found.rss,
        found.anonymous,
        found.virtual,
        found.threads,
        found.files,
        round(found.cpu, 2),
    )


class _Watch:
    """Samples of all members while it runs; whoever ends is left at that."""

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.taken: dict[Member, list[Sample]] = {member: [] for member in members}
        self.ended: set[Member] = set()

    def step(self, at: float) -> None:
        for member in self.taken.keys() - self.ended:
            try:
                self.taken[member].append(look(member, at))
            except (procfs.GoneError, PermissionError):
                self.ended.add(member)

    async def run(self, seconds: float) -> None:
        begun, wall = time.monotonic(), time.time()
        step, number = interval_of(seconds), 0
        while True:
            elapsed = time.monotonic() - begun
            self.step(wall + elapsed)
            number += 1
            if elapsed >= seconds or len(self.ended) == len(self.taken):
                return
            await asyncio.sleep(min(max(0.0, number * step - elapsed), seconds - elapsed))


def _thinned(samples: list[Sample], every: float) -> list[Sample]:
    kept: list[Sample] = []
    for sample in samples:
        if not kept or sample.at - kept[-1].at >= every:
            kept.append(sample)
    return kept


def _plain(sample: Sample) -> dict[str, Any]:
    return {field: getattr(sample, field) for field in sample.__struct_fields__ if field != "at"}


def _recall(history: History, member: Member, until: float) -> list[Sample]:
    rows = history.read(member.series, since=until - EARLIER_SECONDS, until=until)
    try:
        found = [msgspec.convert([at, *value.values()], Sample) for at, value in rows]
    except msgspec.ValidationError as error:
        raise HistoryError(f"earlier samples are not used: {history.path}: {error}") from error
    return _thinned(found, EARLIER_SECONDS / _MOST_EARLIER) if len(found) > _MOST_EARLIER else found


def _exchange(
    watch: _Watch, history: History | None = None
) -> tuple[dict[Member, list[Sample]], str]:
    """What was seen of each process before, and why nothing more is known; keeps the new."""
    before: dict[Member, list[Sample]] = {}
    try:
        history = history or History()
        for member, samples in watch.taken.items():
            if samples:
                before[member] = _recall(history, member, samples[0].at)
                kept = _thinned(samples, _KEPT_EVERY)
                history.add(member.series, ((sample.at, _plain(sample)) for sample in kept))
    except HistoryError as error:
        return before, str(error)
    return before, ""


class MemorySamples(Fact, frozen=True):
    """Every process of the application over the time that was sampled, and before.

    ``seconds`` is how long this run sampled; ``notes`` say what of earlier runs is not known.
    """

    seconds_limit: ClassVar[float] = 7 * 3600.0

    series: tuple[Series, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    @classmethod
    async def collect(cls, process: ProcessConnection, instance: Instance) -> Self:
        """Samples for the instance's ``sampling`` seconds. Raises Absent if it has ended."""
        asked = instance.settings.get("sampling", DEFAULT_SECONDS)
        watch = _Watch(process.members)
        begun = time.monotonic()
        try:
            await watch.run(float(asked) if isinstance(asked, (int, float)) else DEFAULT_SECONDS)
        except asyncio.CancelledError:
            _exchange(watch)
            raise
        before, note = _exchange(watch)
        now = procfs.uptime()
        series = tuple(
            Series(
                member=member,
                samples=(*before.get(member, ()), *samples),
                earlier=len(before.get(member, ())),
                age=max(0.0, round(now - procfs.seconds_of(member.started), 2)),
                ended=member in watch.ended,
                file_limit=procfs.soft_limit(member.pid, "Max open files"),
            )
            for member, samples in watch.taken.items()
            if samples
        )
        if not series:
            raise Absent(f"process {process.main.pid} ended before it could be looked at")
        return cls(
            series=series,
            seconds=round(time.monotonic() - begun, 2),
            notes=(note,) if note else (),
        )
