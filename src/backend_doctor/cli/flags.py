"""Options that several commands have, each written once, and how a command is given some."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

CONFIG = click.option("--config", type=click.Path(path_type=Path), help="A configuration file.")
SETTINGS = click.option(
    "--settings", type=click.Path(path_type=Path), help="An application's own settings file."
)
CHECKS = click.option(
    "--checks",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder with checks of your own; it runs their code.",
)
COLOR = click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto")


def given(command: Command, *options: Callable[[Any], Any]) -> Command:
    """The command with these options, told in this order by its help."""
    for option in reversed(options):
        command = option(command)
    return command
