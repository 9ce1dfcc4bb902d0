"""What the terminal can show: decided once, here, from flags, environment and stream."""

import os
import sys
from typing import Literal

ColorChoice = Literal["auto", "always", "never"]
_USUAL_COLUMNS = 80


def wants_color(choice: ColorChoice) -> bool:
    """Flag, then NO_COLOR, FORCE_COLOR or CLICOLOR_FORCE, CLICOLOR=0, then the terminal itself."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    forced = (os.environ.get("FORCE_COLOR", ""), os.environ.get("CLICOLOR_FORCE", ""))
    if any(value not in ("", "0") for value in forced):
        return True
    if os.environ.get("CLICOLOR") == "0" or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty()


def columns() -> int:
    """COLUMNS, else the terminal's width, else 80; between 40 and 160."""
    if not (sys.stdout.isatty() or "COLUMNS" in os.environ):
        return _USUAL_COLUMNS
    from shutil import get_terminal_size

    return min(160, max(40, get_terminal_size((_USUAL_COLUMNS, 24)).columns))


def speaks_unicode() -> bool:
    """Whether standard output is UTF-8."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
