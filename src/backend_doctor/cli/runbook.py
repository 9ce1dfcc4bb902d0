"""``runbook``: what to do about a finding, offline."""

import sys
from pathlib import Path

import click

from backend_doctor.cli.flags import CHECKS
from backend_doctor.cli.terminal import columns, wants_color
from backend_doctor.errors import UserError
from backend_doctor.registry import Check, load_checks
from backend_doctor.text import nearest


def _found(name: str, checks: dict[str, Check]) -> Check:
    if name in checks:
        return checks[name]
    for check in checks.values():
        if name in check.causes:
            return check
    known = [*checks, *(cause for check in checks.values() for cause in check.causes)]
    near = nearest(name, known)
    hint = f"; did you mean {near!r}?" if near else ""
    raise UserError(f"no runbook for {name!r}{hint}\nSee them all: backend-doctor runbook")


def _print(page: str) -> None:
    """Rendered where a person reads, as Markdown where a program does."""
    if not sys.stdout.isatty() or not wants_color("auto"):
        click.echo(page, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(width=min(columns(), 100)).print(Markdown(page, hyperlinks=False))


@click.command("runbook")
@click.argument("name", required=False, metavar="[CHECK or CAUSE]")
@CHECKS
def command(name: str | None, folders: tuple[Path, ...]) -> None:
    """Print the runbook of a check, or of the check that names a cause.

    \b
    Examples:
      backend-doctor runbook postgres.lock_waits
      backend-doctor runbook lock.ddl_queue
    """
    checks = load_checks(folders)
    if name is None:
        for check_id, check in sorted(checks.items()):
            click.echo(f"{check_id:<32} {', '.join(check.causes)}")
        return
    check = _found(name, checks)
    if check.runbook is None:
        raise UserError(f"{check.id} has no runbook beside {check.path.parent.parent}")
    _print(check.runbook.read_text(encoding="utf-8"))
