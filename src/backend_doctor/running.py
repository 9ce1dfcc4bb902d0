"""From a configuration to a report: what every command that examines something does."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec import structs

from backend_doctor.config.facts import declare, instance_fact
from backend_doctor.config.model import Configuration
from backend_doctor.deadlines import Timing
from backend_doctor.engine import Engine, Examinee
from backend_doctor.errors import UserError
from backend_doctor.facts import Instance
from backend_doctor.registry import Check, Limit, bundled_folder, load_checks
from backend_doctor.snapshot import Snapshot
from backend_doctor.text import nearest

Limits = dict[str, dict[str, Any]]
SAMPLED = ("process",)
"""Kinds whose facts are sampled over time; how long stands in the setting ``sampling``."""
_LAST_RESORT_SECONDS = 1.8


def choose_checks(
    backends: Iterable[str],
    folders: Sequence[Path] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> list[Check]:
    """The checks for these kinds, narrowed by ids, kinds or patterns (``postgres.*``).

    Raises UserError for a name that fits no check.
    """
    loaded = load_checks(folders, backends=backends)
    if not (only or skip):
        return list(loaded.values())
    known = sorted({*loaded, *(f"{p.parent.name}.{p.stem}" for p in _bundled_files())})

    def fits(check_id: str, wanted: str) -> bool:
        return (
            check_id == wanted or check_id.startswith(f"{wanted}.") or fnmatchcase(check_id, wanted)
        )

    for wanted in (*only, *skip):
        if not any(fits(check_id, wanted) for check_id in known):
            raise UserError(f"no check fits {wanted!r}{_nearest(wanted, known)}")
    return [
        check
        for check_id, check in loaded.items()
        if (not only or any(fits(check_id, wanted) for wanted in only))
        and not any(fits(check_id, wanted) for wanted in skip)
    ]


def _bundled_files() -> list[Path]:
    return [path for path in bundled_folder().glob("*/*.py") if not path.name.startswith("_")]


def _nearest(word: str, words: Iterable[str]) -> str:
    near = nearest(word, words)
    return f"; did you mean {near!r}?" if near else "; see: backend-doctor list"


def _converted(check: Check, limit: Limit, value: object) -> object:
    accepted: tuple[type, ...] = (int, float) if limit.type is float else (limit.type,)
    wrong = not isinstance(value, accepted) or (isinstance(value, bool) and limit.type is not bool)
    if wrong:
        raise UserError(
            f"limits: {check.id}: {limit.name}: expected {limit.type.__name__} such as "
            f"{limit.default!r}, found {value!r}"
        )
    return limit.type(value)


def limits_of(checks: Iterable[Check], configured: Mapping[str, Mapping[str, object]]) -> Limits:
    """The configured limits by check and name. Raises UserError for an unknown one."""
    by_id = {check.id: check for check in checks}
    bundled = {f"{path.parent.name}.{path.stem}" for path in _bundled_files()}
    limits: Limits = {}
    for check_id, values in configured.items():
        if check_id not in by_id:
            if check_id in bundled:
                continue
            raise UserError(
                f"limits: no check {check_id!r}{_nearest(check_id, {*by_id, *bundled})}"
            )
        check = by_id[check_id]
        names = {limit.name: limit for limit in check.limits}
        for name, value in values.items():
            if name not in names:
                raise UserError(f"limits: {check_id}: no limit {name!r}{_nearest(name, names)}")
            limits.setdefault(check_id, {})[name] = _converted(check, names[name], value)
    return limits


class _Interruptions:
    """SIGINT, SIGTERM and the deadline end the run softly; if that takes too long, hard."""

    def __init__(self, leave: Callable[[int], None]) -> None:
        self.signal: signal.Signals | None = None
        self._leave = leave
        self._before: dict[signal.Signals, Any] = {}
        self._late: threading.Timer | None = None

    def install(
        self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any]", deadline: float
    ) -> None:
        # not the loop's own handlers: those never run while a fact blocks the loop
        def caught(number: int, _: object) -> None:
            if self.signal is None:
                self.signal = signal.Signals(number)
                _after(_LAST_RESORT_SECONDS, self._leave, 128 + number)
            loop.call_soon_threadsafe(task.cancel)

        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, caught)
        self._late = _after(deadline + _LAST_RESORT_SECONDS, self._give_up, deadline)

    def remove(self) -> None:
        """From now on signals end the process as they did before, a verdict included."""
        if self._late is not None:
            self._late.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _give_up(self, deadline: float) -> None:
        sys.stderr.write(
            f"backend-doctor: the run did not end within its deadline of {deadline:g} s: a check "
            "or fact holds it up. Leave that out with --skip, or allow more with --deadline.\n"
        )
        self._leave(3)


def _after(seconds: float, do: Callable[[Any], None], argument: object) -> threading.Timer:
    timer = threading.Timer(seconds, do, (argument,))
    timer.daemon = True
    timer.start()
    return timer


def _sampling(instance: Instance, timing: Timing) -> Instance:
    """The instance with the seconds to sample for, where its kind samples."""
    if instance.backend not in SAMPLED:
        return instance
    seconds = timing.window if timing.sampling is None else timing.sampling
    return structs.replace(instance, settings={**instance.settings, "sampling": seconds})


def gather(
    configuration: Configuration,
    checks: Iterable[Check],
    timing: Timing,
    *,
    progress: Callable[[str], None],
    leave: Callable[[int], None],
) -> tuple[Snapshot, int | None]:
    """Looks at everything configured: the snapshot, and the exit code if a signal ended it.

    ``leave`` is called with that code from another thread when the process does not end
    within 1.8 s after the signal or the deadline.
    """
    interruptions = _Interruptions(leave)
    services = declare(configuration)
    examinees = [
        Examinee(_sampling(instance_fact(instance), timing), instance.endpoint)
        for service in configuration.services
        for instance in service.instances
    ]

    async def supervised() -> Snapshot:
        engine = Engine(checks, timing)
        task = asyncio.current_task()
        if task is not None:
            interruptions.install(asyncio.get_running_loop(), task, timing.deadline)
        try:
            return await engine.gather(
                services.values(),
                examinees,
                source=configuration.source,
                warnings=configuration.warnings,
                progress=progress,
            )
        except asyncio.CancelledError:
            caught = interruptions.signal
            return engine.snapshot(caught.name if caught else "cancelled")

    # asyncio.run would wait for threads that resolve names, and those know no deadline
    loop = asyncio.new_event_loop()
    try:
        snapshot = loop.run_until_complete(supervised())
    finally:
        interruptions.remove()
    caught = interruptions.signal
    return snapshot, None if caught is None else 128 + caught
