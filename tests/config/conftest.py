"""An empty environment in an empty folder, so that only what a test sets is found."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty, and so are the environment and the user's own folder."""
    for name in list(os.environ):
        if name.endswith(("_URL", "_URL_FILE")) or name.startswith(("BACKEND_DOCTOR", "PG")):
            monkeypatch.delenv(name)
    for name in ("SECRET_KEY", "CORS_ORIGINS", "APP_ENV", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
