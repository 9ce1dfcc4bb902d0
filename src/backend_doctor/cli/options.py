"""Options that several commands share, and what they come down to."""

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from backend_doctor.config.load import load
from backend_doctor.config.model import Configuration
from backend_doctor.deadlines import Timing
from backend_doctor.registry import Check
from backend_doctor.running import Limits, choose_checks, gather, limits_of
from backend_doctor.snapshot import Snapshot

Command = TypeVar("Command", bound=Callable[..., Any])

_TARGETS = (
    click.argument("targets", nargs=-1, metavar="[TARGET]..."),
    click.option("-t", "--target", "more_targets", multiple=True, help="Same as TARGET."),
    click.option("--config", type=click.Path(path_type=Path), help="A configuration file."),
    click.option(
        "--settings", type=click.Path(path_type=Path), help="An application's own settings file."
    ),
)
_CHECKS = (
    click.option(
        "--checks",
        "folders",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A folder with checks of your own; it runs their code.",
    ),
    click.option("--only", multiple=True, metavar="CHECK", help="Only these: id, kind, pattern."),
    click.option("--skip", multiple=True, metavar="CHECK", help="All but these."),
)
_TIMING = (
    click.option(
        "--window",
        type=click.FloatRange(0, 600),
        default=5.0,
        show_default=True,
        help="Seconds between two looks; 0 looks once and tells no rates.",
    ),
    click.option(
        "--connect-timeout",
        type=click.FloatRange(0.1, 60),
        default=5.0,
        show_default=True,
        help="Seconds for each login.",
    ),
    click.option(
        "--deadline",
        type=click.FloatRange(1, 3600),
        help="Seconds for the whole run.  [default: 25 and the window]",
    ),
)


def examining(command: Command) -> Command:
    """Adds what every examining command accepts."""
    for option in reversed((*_TARGETS, *_CHECKS, *_TIMING)):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What to examine and how, as the command line asked."""

    configuration: Configuration
    checks: list[Check]
    limits: Limits
    timing: Timing

    @classmethod
    def asked(
        cls,
        *,
        targets: tuple[str, ...],
        more_targets: tuple[str, ...],
        config: Path | None,
        settings: Path | None,
        folders: tuple[Path, ...],
        only: tuple[str, ...],
        skip: tuple[str, ...],
        window: float,
        connect_timeout: float,
        deadline: float | None,
    ) -> "Examination":
        """Reads the configuration and loads the checks. Raises UserError."""
        configuration = load(config=config, settings=settings, targets=(*targets, *more_targets))
        kinds = {
            instance.kind for service in configuration.services for instance in service.instances
        }
        checks = choose_checks(kinds, (*configuration.check_folders, *folders), only, skip)
        timing = Timing(window, connect_timeout, deadline or 25.0 + window)
        return cls(
            configuration=configuration,
            checks=checks,
            limits=limits_of(checks, configuration.limits),
            timing=timing,
        )

    def run(self, *, quiet: bool = False) -> tuple[Snapshot, int | None]:
        """Looks, with progress on standard error where a person watches."""
        show = sys.stderr.isatty() and not quiet
        snapshot, interrupted = gather(
            self.configuration,
            self.checks,
            self.timing,
            progress=_progress if show else lambda _: None,
            leave=leave,
        )
        if show:
            click.echo("\r\x1b[K", nl=False, err=True)
        return snapshot, interrupted


def _progress(message: str) -> None:
    click.echo(f"\r\x1b[K{message} ...", nl=False, err=True)


def leave(code: int) -> None:
    """Ends the process at once, what was printed being flushed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)


def leave_stuck_threads(code: int) -> None:
    """Ends the process if a thread would keep it from ending (name resolution can hang)."""
    if any(thread is not threading.main_thread() for thread in threading.enumerate()):
        leave(code)
