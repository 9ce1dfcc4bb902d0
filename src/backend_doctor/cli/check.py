"""``check``: examine, diagnose, report."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import click

from backend_doctor.cli import Exit
from backend_doctor.cli.daring import daring, permitted
from backend_doctor.cli.flags import COLOR
from backend_doctor.cli.options import Examination, examining
from backend_doctor.cli.page import as_page
from backend_doctor.cli.terminal import ColorChoice, columns, speaks_unicode, wants_color
from backend_doctor.config.clients import Client, ask_urls
from backend_doctor.errors import UserError
from backend_doctor.judge import judge
from backend_doctor.model import Report, Status
from backend_doctor.reports import FORMATS, RenderOptions, render
from backend_doctor.running import choose_checks, limits_of
from backend_doctor.snapshot import load

_MAY_HOLD_SECRET = re.compile(r"//[^@]*:[^@]*@|\?")
_FAIL_ON = ("warning", "critical", "unknown", "never")


def exit_code(report: Report, fail_on: str) -> int:
    """0 to 3 by the worst status; ``fail_on`` names the least status that is not 0."""
    statuses = {result.finding.status for result in report.results} | {report.status}
    if fail_on == "never":
        return 0
    counted = {
        "warning": {Status.WARNING, Status.CRITICAL, Status.UNKNOWN},
        "critical": {Status.CRITICAL},
        "unknown": {Status.CRITICAL, Status.UNKNOWN},
    }[fail_on]
    return max(statuses & counted, key=lambda s: s.severity, default=Status.OK).exit_code


def _write(path: Path, text: str, format: str) -> None:
    if format == "prometheus":
        from backend_doctor.exporter.textfile import write_textfile

        write_textfile(path, text)
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(descriptor, 0o600)
            stream.write(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _outputs(outputs: tuple[str, ...]) -> list[tuple[str, Path]]:
    found = []
    for output in outputs:
        format, equals, path = output.partition("=")
        if not equals or format not in FORMATS or not path:
            raise UserError(
                f"-o {output}: expected FORMAT=FILE with one of {', '.join(FORMATS)}, "
                "such as json=report.json"
            )
        if format == "prometheus" and not path.endswith(".prom"):
            raise UserError(f"-o {output}: metrics collectors read only files that end in .prom")
        found.append((format, Path(path)))
    return found


def _replay(snapshot_file: Path, asked: dict[str, Any]) -> Report:
    if any(asked[key] for key in ("targets", "more_targets", "settings")):
        raise UserError("--from judges a saved snapshot; leave the targets and settings out")
    snapshot = load(snapshot_file)
    kinds = {backend.instance.backend for backend in snapshot.backends}
    checks = choose_checks(kinds, asked["folders"], asked["only"], asked["skip"])
    if asked["config"] is None:
        return judge(snapshot, checks)
    from backend_doctor.config.load import load as load_configuration

    configuration = load_configuration(config=asked["config"])
    limits = limits_of(checks, configuration.limits)
    return judge(snapshot, checks, limits, configuration.ignores)


def _targets(asked: dict[str, Any]) -> tuple[str, ...]:
    """The targets as they were given; none where one may hold a secret."""
    given: tuple[str, ...] = (*asked["targets"], *asked["more_targets"])
    return () if any(_MAY_HOLD_SECRET.search(target) for target in given) else given


def _read_from(
    asked: dict[str, Any], snapshot_file: Path | None, client: Client | None
) -> tuple[str, ...]:
    named = {"--from": snapshot_file, "--config": asked["config"], "--settings": asked["settings"]}
    words = (word for option, path in named.items() if path for word in (option, str(path)))
    return (*words, *(client.words if client else ()))


@click.command("check")
@examining
@as_page
@daring
@click.option(
    "--from",
    "snapshot_file",
    type=click.Path(path_type=Path),
    metavar="SNAPSHOT",
    help="Judge what `collect` saved instead of looking.",
)
@click.option("--format", "format", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FORMAT=FILE",
    help="Also write the report to a file; repeatable.",
)
@click.option(
    "--fail-on",
    type=click.Choice(_FAIL_ON),
    default="warning",
    show_default=True,
    help="The least status that makes the exit code non-zero.",
)
@COLOR
@click.option("-q", "--quiet", is_flag=True, help="Nothing when healthy, else a line a finding.")
@click.option("-v", "--verbose", count=True, help="What is healthy too, with its evidence.")
def command(
    snapshot_file: Path | None,
    format: str,
    outputs: tuple[str, ...],
    fail_on: str,
    color: ColorChoice,
    quiet: bool,
    verbose: int,
    client: Client | None,
    tries: tuple[str, ...],
    **asked: Any,
) -> None:
    """Examine services and name the root cause first.

    TARGET is SERVICE, SERVICE.KIND, SERVICE.KIND.NAME, a URL, env:NAME or file:PATH; without
    one, everything configured is examined.

    \b
    Examples:
      backend-doctor check
      backend-doctor check shop.postgres --window 10
      backend-doctor check env:DATABASE_URL --format json
      backend-doctor check --from sick.json -v
      backend-doctor check https://api.example.com/orders --origin https://app.example.com

    Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown or could not run, 130 interrupted.
    """
    files = _outputs(outputs)
    interrupted = None
    if snapshot_file is not None:
        if client or tries:
            unfit = "--origin" if client else f"--{tries[0]}"
            raise UserError(f"--from judges a saved snapshot; leave {unfit} out")
        report = _replay(snapshot_file, asked)
    else:
        arrange = partial(ask_urls, client=client) if client else None
        examination = permitted(
            Examination.asked(**asked, arrange=arrange), tries, may_last=asked["deadline"] is None
        )
        snapshot, interrupted = examination.run(quiet=quiet)
        report = judge(
            snapshot, examination.checks, examination.limits, examination.configuration.ignores
        )
    code = exit_code(report, fail_on) if interrupted is None else interrupted
    options = RenderOptions(
        width=columns(),
        color=format == "text" and wants_color(color),
        unicode=speaks_unicode(),
        quiet=quiet,
        verbose=verbose,
        exit_code=code,
        targets=_targets(asked),
        read_from=_read_from(asked, snapshot_file, client),
    )
    click.echo(render(format, report, options), nl=False, color=True)
    plain = RenderOptions(verbose=verbose, exit_code=code)
    for file_format, path in files:
        _write(path, render(file_format, report, plain), file_format)
    raise Exit(code)
