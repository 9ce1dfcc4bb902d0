"""``collect``: save what can be seen now."""

from pathlib import Path
from typing import Any

import click

from backend_doctor.cli import Exit
from backend_doctor.cli.options import Examination, examining
from backend_doctor.snapshot import save


@click.command("collect")
@examining
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE")
def command(output: Path, **asked: Any) -> None:
    """Save what can be seen now, to be judged later or elsewhere.

    The file holds no secret and no literal of a statement; only its owner can read it.

    \b
    Example:
      backend-doctor collect shop -o shop.json
      backend-doctor check --from shop.json
    """
    examination = Examination.asked(**asked)
    snapshot, interrupted = examination.run()
    save(snapshot, output)
    click.echo(f"saved {output}; judge it with: backend-doctor check --from {output}", err=True)
    raise Exit(interrupted or 0)
