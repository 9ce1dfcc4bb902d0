"""One process of the shop, on a port of its own."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from backend_doctor.demo.command import environment
from backend_doctor.demo.servers import Server
from backend_doctor.demo.servers.process import Identity
from backend_doctor.demo.shop.settings import FILE_VARIABLE


class ShopServer(Server):
    """The web shop by uvicorn, as the user who runs the demo.

    ``settings`` is the tree of its settings file; a change takes effect with `restart`.
    """

    name = "shop"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        # our interpreter may live where the servers' unprivileged user cannot go
        self._identity = Identity()
        self.settings = settings

    @property
    def address(self) -> str:
        """Base URL."""
        return f"http://{self.host}:{self.port}"

    @property
    def settings_file(self) -> Path:
        """The settings, with passwords: only our user can read them."""
        return self.folder / "settings.yaml"

    def _configure(self) -> None:
        self._write(self.settings_file, yaml.safe_dump(dict(self.settings), sort_keys=False))

    def _environment(self) -> dict[str, str]:
        path = environment()["PYTHONPATH"]
        return {FILE_VARIABLE: str(self.settings_file), "APP_ENV": "production", "PYTHONPATH": path}

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "uvicorn", "--factory"]
        command += ["backend_doctor.demo.shop.app:create_app"]
        command += ["--host", self.host, "--port", str(self.port), "--no-access-log"]
        return [*command, "--timeout-graceful-shutdown", "1", "--log-level", "info"]

    def _ready(self) -> bool:
        return "Uvicorn running on" in self._log_since_start()
