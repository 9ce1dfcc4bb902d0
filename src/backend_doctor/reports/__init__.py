"""Output formats: one module each, loaded when its format is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING

import msgspec

from backend_doctor.errors import UserError

if TYPE_CHECKING:
    from backend_doctor.model import Report

FORMATS = ("text", "json", "nagios", "prometheus")


class RenderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to render; a format ignores what does not concern it.

    ``width`` is in columns. ``unicode`` false keeps the output within ASCII where the format
    may. ``exit_code`` is the code that the run will end with where that is not the report's
    own (``--fail-on``, an interrupt). ``targets`` are those of the command line as they were
    given, where none holds a password, and ``read_from`` the options that say what was read
    (``--config FILE``, ``--from SNAPSHOT``): with them the run can be repeated.
    ``previous_success`` is the Unix time at which a run last completed before this one, 0 for
    never.
    """

    width: int = 80
    color: bool = False
    unicode: bool = True
    quiet: bool = False
    verbose: int = 0
    exit_code: int | None = None
    targets: tuple[str, ...] = ()
    read_from: tuple[str, ...] = ()
    previous_success: float = 0.0

    def ends_with(self, report: "Report") -> int:
        """The exit code to report."""
        return report.status.exit_code if self.exit_code is None else self.exit_code


def render(format: str, report: "Report", options: RenderOptions) -> str:
    """The report in one of ``FORMATS``, ending in a newline; "" where quiet means silence.

    Raises UserError for a format that does not exist.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    rendered: str = import_module(f"backend_doctor.reports.{format}").render(report, options)
    return rendered
