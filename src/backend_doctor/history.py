"""Counters and samples kept between runs: one small private file, which may always be deleted."""

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

MAX_AGE = 24 * 3600.0
MAX_ROWS = 100_000
_PATIENCE = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    series TEXT NOT NULL, at REAL NOT NULL, value TEXT NOT NULL, PRIMARY KEY (series, at)
) WITHOUT ROWID
"""

Sample = tuple[float, dict[str, Any]]
"""Seconds since 1970, and what was observed, as JSON carries it."""


class HistoryError(Exception):
    """The history cannot be used; the message names the file, the cause and the next step."""


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_STATE_HOME/backend-doctor``, by default ``~/.local/state/backend-doctor``.

    Raises HistoryError when there is no home.
    """
    named = environment.get("XDG_STATE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "backend-doctor"
    try:
        return Path.home() / ".local" / "state" / "backend-doctor"
    except RuntimeError as error:
        raise HistoryError("no home folder: nothing is kept; set XDG_STATE_HOME") from error


class History:
    """Samples by series; every method opens the file, works and closes it again.

    Rows older than :data:`MAX_AGE` seconds, and all beyond the newest :data:`MAX_ROWS`, go.
    Every method raises HistoryError when the file cannot be used.
    """

    def __init__(self, path: Path | None = None, *, max_rows: int = MAX_ROWS) -> None:
        self.path = path or state_folder() / "history.sqlite3"
        self._max_rows = max_rows

    def add(self, series: str, samples: Iterable[Sample]) -> None:
        """Keeps samples; one at the same moment replaces the other."""
        rows = [(series, at, msgspec.json.encode(value).decode()) for at, value in samples]
        if not rows:
            return
        self._prepare()
        with self._open() as database:
            database.execute(_SCHEMA)
            database.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?)", rows)
            self._trim(database, max(row[1] for row in rows))

    def read(self, series: str, *, since: float = 0.0, until: float = 1e12) -> list[Sample]:
        """The samples of one series from ``since`` up to before ``until``, in time's order."""
        try:
            self.path.stat()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        with self._open() as database:
            rows = database.execute(
                "SELECT at, value FROM samples WHERE series = ? AND at >= ? AND at < ? ORDER BY at",
                (series, since, until),
            ).fetchall()
        try:
            return [(float(at), msgspec.json.decode(value, type=dict)) for at, value in rows]
        except (msgspec.DecodeError, TypeError, ValueError) as error:
            raise self._unusable("its content is damaged") from error

    def _trim(self, database: sqlite3.Connection, newest: float) -> None:
        database.execute("DELETE FROM samples WHERE at < ?", (newest - MAX_AGE,))
        database.execute(
            "DELETE FROM samples WHERE at <= "
            "(SELECT at FROM samples ORDER BY at DESC LIMIT 1 OFFSET ?)",
            (self._max_rows,),
        )

    def _prepare(self) -> None:
        """The private folder and file. Another user's, or a link, is not written to."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with closing(os.fdopen(descriptor, "rb")):
                found = os.fstat(descriptor)
                if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
                    raise self._unusable("it is not a file of ours")
                os.fchmod(descriptor, 0o600)
            if self.path.parent.stat().st_uid == os.geteuid():
                self.path.parent.chmod(0o700)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, cause: str) -> HistoryError:
        return HistoryError(
            f"earlier samples are not used: {self.path}: {cause}. Delete that file, or name a "
            "folder of yours with XDG_STATE_HOME."
        )
