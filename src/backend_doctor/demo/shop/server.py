"""One process of the shop, on a port of its own."""

import sys

from backend_doctor.demo.command import environment
from backend_doctor.demo.servers import Server
from backend_doctor.demo.servers.process import Identity


class ShopServer(Server):
    """The web shop by uvicorn, as the user who runs the demo."""

    name = "shop"

    def __init__(self, *, database_url: str, redis_url: str) -> None:
        super().__init__()
        # our interpreter may live where the servers' unprivileged user cannot go
        self._identity = Identity()
        self._urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    @property
    def address(self) -> str:
        """Base URL."""
        return f"http://{self.host}:{self.port}"

    def _configure(self) -> None:
        """All of it is in the environment."""

    def _environment(self) -> dict[str, str]:
        return {**self._urls, "PYTHONPATH": environment()["PYTHONPATH"]}

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "uvicorn", "backend_doctor.demo.shop.app:app"]
        command += ["--host", self.host, "--port", str(self.port), "--no-access-log"]
        return [*command, "--timeout-graceful-shutdown", "1", "--log-level", "info"]

    def _ready(self) -> bool:
        return "Uvicorn running on" in self._log_since_start()
