"""``export``: Prometheus metrics, for a cron job and a textfile collector."""

from pathlib import Path
from typing import Any

import click

from backend_doctor.cli import Exit
from backend_doctor.cli.options import Examination, examining
from backend_doctor.judge import judge
from backend_doctor.reports import RenderOptions, render


@click.command("export")
@examining
@click.option(
    "--textfile",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.prom",
    help="Replaced in one step; readable by the collector.",
)
def command(textfile: Path, **asked: Any) -> None:
    """Write Prometheus metrics for a textfile collector.

    Silent, so that cron sends no mail; exit code 0 when the metrics were written, whatever
    they say, 3 when they could not be.

    \b
    Example, every minute from cron:
      backend-doctor export --textfile /var/lib/prometheus/node-exporter/backend_doctor.prom
    """
    from backend_doctor.exporter.textfile import previous_success, write_textfile

    examination = Examination.asked(**asked)
    snapshot, interrupted = examination.run(quiet=True)
    report = judge(
        snapshot, examination.checks, examination.limits, examination.configuration.ignores
    )
    options = RenderOptions(previous_success=previous_success(textfile))
    write_textfile(textfile, render("prometheus", report, options))
    raise Exit(interrupted or 0)
