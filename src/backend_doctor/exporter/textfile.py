"""A ``.prom`` file for the textfile collector of Prometheus' node exporter."""

import math
import os
import tempfile
from pathlib import Path

from backend_doctor.errors import UserError
from backend_doctor.reports.prometheus import LAST_SUCCESS

# The collector runs as another user; mkstemp's 0600 would hide the metrics from it.
_MODE = 0o644


def write_textfile(path: Path, text: str) -> None:
    """Replaces ``path`` by ``text`` in one step: a reader sees the old file or the new one.

    Raises UserError, and leaves the old file as it was and no other behind, when the name does
    not end in ``.prom`` (the collector reads no other) or the folder cannot be written to.
    """
    if path.suffix != ".prom":
        raise UserError(
            f"{path}: the textfile collector reads only names that end in .prom; "
            f"use for example {path.parent / 'backend_doctor.prom'}"
        )
    try:
        _replace(path, text.encode("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {_reason(path, error)}") from error


def previous_success(path: Path) -> float:
    """The Unix time of the last completed run as an earlier file tells it; 0 for none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == LAST_SUCCESS:
            return _time(value)
    return 0.0


def _time(value: str) -> float:
    try:
        time = float(value)
    except ValueError:
        return 0.0
    return time if math.isfinite(time) and time > 0 else 0.0


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _reason(path: Path, error: OSError) -> str:
    said = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return f"the folder {path.parent} does not exist; create it, or name the collector's own"
    if isinstance(error, (PermissionError, NotADirectoryError, IsADirectoryError)):
        return f"{said}; give the user of this run write access to {path.parent}, or name another"
    return f"{said}; make room or name another folder, the file there is as it was"
