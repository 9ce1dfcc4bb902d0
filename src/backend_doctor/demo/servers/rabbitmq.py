"""A private RabbitMQ node with its management API, and an Erlang port mapper of its own."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from urllib.parse import quote

from backend_doctor.demo.servers.process import START_LIMIT, Server, ServerError, free_port

STOP_LIMIT = 15.0
# the wrapper in PATH would switch to another user and to the machine's own configuration
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
# one process group for node and port mapper, and whoever is left ends with the first that goes
_SCRIPT = """
"$1" -address 127.0.0.1 -port "$ERL_EPMD_PORT" & epmd=$!
"$2" & node=$!
trap 'kill -s TERM "$node"' TERM
while kill -s 0 "$node" 2>/dev/null; do wait "$node"; code=$?; done
kill -s TERM "$epmd"
wait "$epmd"
exit "$code"
"""


def rabbitmq_binary() -> Path:
    """Debian's server program; raises `ServerError` without it."""
    program = _PROGRAMS / "rabbitmq-server"
    if not program.is_file() or shutil.which("epmd") is None:
        raise ServerError(
            "RabbitMQ is not installed on this machine; as root: apt-get install rabbitmq-server"
        )
    return program


class RabbitServer(Server):
    """One RabbitMQ node; its administrator is ``guest``.

    ``management_port`` serves the HTTP API. Starting takes 5 to 20 s.
    """

    name = "rabbitmq"
    kill_signal = SIGKILL

    def __init__(self, binary: Path | None = None, *, password: str = "guest") -> None:  # noqa: S107
        super().__init__()
        self.binary = binary or rabbitmq_binary()
        self.password = password
        self.management_port = self._mapper_port = self._distribution_port = 0

    def url(self, user: str = "guest", password: str | None = None, vhost: str = "/") -> str:
        """AMQP URL with exactly these credentials and virtual host, percent-encoded."""
        secret = self.password if password is None else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}"
        return f"amqp://{login}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    @property
    def management_url(self) -> str:
        """Where the HTTP API is, without credentials."""
        return f"http://{self.host}:{self.management_port}"

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints for these arguments; each call takes about a second."""
        ran = subprocess.run(
            [self.binary.with_name("rabbitmqctl"), "--quiet", *arguments],
            capture_output=True,
            text=True,
            timeout=START_LIMIT,
            check=False,
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", **self._environment()},
            user=self._identity.user,
            group=self._identity.group,
            extra_groups=self._identity.extra_groups,
        )
        if ran.returncode:
            raise ServerError(f"rabbitmqctl {arguments[0]} failed: {ran.stderr.strip()}")
        return ran.stdout

    def _prepare(self) -> None:
        for name in ("home", "mnesia", "log"):
            (self.folder / name).mkdir()
            self._give(self.folder / name)
        self._write(self.folder / "enabled_plugins", "[rabbitmq_management].\n")

    def _configure(self) -> None:
        if not self._mapper_port:
            self._mapper_port = free_port()
            self._distribution_port = free_port()
            self.management_port = free_port()
        settings = {
            "listeners.tcp.1": f"{self.host}:{self.port}",
            "management.tcp.ip": self.host,
            "management.tcp.port": self.management_port,
            "default_user": "guest",
            "default_pass": self.password,
            "vm_memory_high_watermark.absolute": "1GB",
            "disk_free_limit.absolute": "50MB",
        }
        lines = (f"{key} = {value}\n" for key, value in settings.items())
        self._write(self.folder / "rabbitmq.conf", "".join(lines))

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "HOME": str(folder / "home"),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": self.host,
            "RABBITMQ_NODENAME": f"doctor{self._distribution_port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ("-kernel inet_dist_use_interface {127,0,0,1}"),
        }

    def _command(self) -> list[str]:
        mapper = shutil.which("epmd") or "epmd"
        return ["sh", "-c", _SCRIPT, "rabbitmq", mapper, str(self.binary)]

    def _ready(self) -> bool:
        return "Server startup complete" in self._log_since_start()

    def _end(self, signals: Sequence[Signals]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if SIGTERM in signals:
            process.send_signal(SIGTERM)
            try:
                process.wait(STOP_LIMIT)
                return
            except subprocess.TimeoutExpired:
                pass
        # its leader has not been waited for, so the group is still ours
        os.killpg(process.pid, SIGKILL)
        process.wait()
