"""``list``: what can be checked."""

from pathlib import Path

import click

from backend_doctor.cli.flags import CHECKS
from backend_doctor.cli.terminal import columns
from backend_doctor.registry import Check, load_checks
from backend_doctor.text import safe_text


def _entry(check: Check, width: int) -> str:
    lines = [check.id, f"  {safe_text(check.title)}"]
    if check.causes:
        lines.append(_row("names", ", ".join(check.causes), width))
    if check.limits:
        limits = ", ".join(f"{limit.name} {_plain(limit.default)}" for limit in check.limits)
        lines.append(_row("limits", limits, width))
    return "\n".join(lines)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else safe_text(str(value))


def _row(label: str, text: str, width: int) -> str:
    import textwrap

    indent = " " * 10
    return textwrap.fill(text, width, initial_indent=f"  {label:<8}", subsequent_indent=indent)


@click.command("list")
@CHECKS
def command(folders: tuple[Path, ...]) -> None:
    """List the checks, the causes they can name, and their limits."""
    checks = load_checks(folders)
    width = min(columns(), 100)
    click.echo("\n\n".join(_entry(check, width) for _, check in sorted(checks.items())))
