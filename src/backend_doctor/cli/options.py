"""Options that several commands share, and what they come down to."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from backend_doctor.cli.flags import CHECKS, CONFIG, SETTINGS, Command, given
from backend_doctor.cli.leaving import leave
from backend_doctor.config.load import load
from backend_doctor.config.model import Configuration, InstanceConfig
from backend_doctor.deadlines import Timing
from backend_doctor.errors import UserError
from backend_doctor.registry import Check
from backend_doctor.running import Limits, choose_checks, gather, limits_of
from backend_doctor.snapshot import Snapshot

Arrange = Callable[[Configuration], Configuration]
LONGEST_SAMPLING = 6 * 3600.0
_SLACK = 25.0

_TARGETS = (
    click.argument("targets", nargs=-1, metavar="[TARGET]..."),
    click.option("-t", "--target", "more_targets", multiple=True, help="Same as TARGET."),
    CONFIG,
    SETTINGS,
)
_CHECKS = (
    CHECKS,
    click.option("--only", multiple=True, metavar="CHECK", help="Only these: id, kind, pattern."),
    click.option("--skip", multiple=True, metavar="CHECK", help="All but these."),
    click.option(
        "--analyze",
        is_flag=True,
        help="Run slow SELECTs once more, rolled back, where that is safe (EXPLAIN ANALYZE).",
    ),
)


def _duration(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Seconds, from ``90``, ``90s``, ``10m`` or ``1h``. Raises click.BadParameter."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 1 <= seconds <= LONGEST_SAMPLING:
        raise click.BadParameter(f"{text!r}: expected 1s to 6h, such as 90s, 10m or 1h")
    return seconds


_TIMING = (
    click.option(
        "--for",
        "sampling",
        callback=_duration,
        metavar="DURATION",
        help="Sample processes for so long: 90s, 10m, 1h.  [default: the window]",
    ),
    click.option(
        "--window",
        type=click.FloatRange(0, 600),
        default=5.0,
        show_default=True,
        help="Seconds between two looks; 0 looks once, and checks that need two are skipped.",
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
        help="Seconds for the whole run.  [default: 25 and the window or --for]",
    ),
)


def examining(command: Command) -> Command:
    """Adds what every examining command accepts."""
    return given(command, *_TARGETS, *_CHECKS, *_TIMING)


def looking(command: Command) -> Command:
    """Adds what a command accepts that has an argument of its own and chooses the checks."""
    return given(command, *_TARGETS[1:], CHECKS, *_TIMING)


class Examination(msgspec.Struct, frozen=True, kw_only=True):
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
        sampling: float | None,
        analyze: bool = False,
        arrange: Arrange | None = None,
    ) -> "Examination":
        """Reads the configuration, has it arranged, and loads the checks. Raises UserError."""
        configuration = load(config=config, settings=settings, targets=(*targets, *more_targets))
        if arrange is not None:
            configuration = arrange(configuration)
        if analyze:
            configuration = _analyzing(configuration)
        kinds = {
            instance.kind for service in configuration.services for instance in service.instances
        }
        checks = choose_checks(kinds, (*configuration.check_folders, *folders), only, skip)
        longest = max(window, sampling or 0.0)
        if deadline is not None and sampling is not None and deadline <= sampling:
            raise UserError(
                f"--deadline {deadline:g} ends the run before --for {sampling:g} seconds are "
                f"over; allow {sampling + _SLACK:g} or leave --deadline out"
            )
        timing = Timing(window, connect_timeout, deadline or _SLACK + longest, sampling)
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


def _analyzing(configuration: Configuration) -> Configuration:
    def switched(instance: InstanceConfig) -> InstanceConfig:
        if instance.kind != "postgres":
            return instance
        return replace(instance, settings={**instance.settings, "analyze": True})

    return replace(
        configuration,
        services=tuple(
            replace(service, instances=tuple(map(switched, service.instances)))
            for service in configuration.services
        ),
    )


def _progress(message: str) -> None:
    click.echo(f"\r\x1b[K{message} ...", nl=False, err=True)
