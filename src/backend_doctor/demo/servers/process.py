"""What all servers share: a folder, a port, a process without root's rights, a clean end."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

from backend_doctor.demo.servers.guard import Guard
from backend_doctor.errors import UserError

START_LIMIT = 60.0
STOP_LIMIT = 8.0
PORT_TRIES = 5
LOG_TAIL = 2000


class ServerError(UserError):
    """A server is not installed or did not start; the message ends with its log."""


class _PortTakenError(ServerError):
    """Another process was faster on the chosen port."""


class Identity(NamedTuple):
    """Whom a server runs as; all ``None`` means as ourselves."""

    user: int | None = None
    group: int | None = None
    extra_groups: list[int] | None = None


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now; somebody else may take it before you do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unprivileged() -> Identity:
    """Root steps down, since PostgreSQL and PgBouncer refuse it; others stay who they are."""
    if os.geteuid() != 0:
        return Identity()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(entry.pw_uid, entry.pw_gid, [])
    return Identity(65534, 65534, [])


class Server:
    """One server on 127.0.0.1, in a temporary folder of its own; a context manager.

    Attributes, valid once started: ``folder``, ``port``, ``log_path``. When this process ends
    without `stop`, however it ends, a guard stops the server and removes the folder.
    """

    name: ClassVar[str]
    stop_signals: ClassVar[Sequence[signal.Signals]] = (signal.SIGTERM,)
    kill_signal: ClassVar[signal.Signals] = signal.SIGTERM
    host: ClassVar[str] = "127.0.0.1"

    folder: Path
    port: int
    _guard: Guard | None = None
    _process: subprocess.Popen[bytes] | None = None
    _log_start = 0

    def __init__(self) -> None:
        self._identity = unprivileged()

    def _prepare(self) -> None:
        """Once, before the first start."""

    def _configure(self) -> None:
        """Write the configuration for ``self.port``."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ready(self) -> bool:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        """Variables that the server needs besides a bare environment."""
        return {}

    @property
    def log_path(self) -> Path:
        """Everything that the server wrote, over all restarts."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    def log(self) -> str:
        """The text of the log so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> Self:
        """Start and wait until clients are answered; raises `ServerError` with the log's tail."""
        self.folder = Path(tempfile.mkdtemp(prefix=f"backend-doctor-{self.name}-")).resolve()
        self._guard = Guard(self.folder, self.kill_signal)
        try:
            self._give(self.folder)
            self._prepare()
            self._launch_on_free_port()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, *, immediate: bool = False) -> None:
        """End the server, forcefully if need be, and remove its folder; harmless when repeated.

        ``immediate`` ends it without a clean-up.
        """
        self._end((self.kill_signal,) if immediate else self.stop_signals)
        if self._guard is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._guard.release()
            self._guard = None

    def halt(self) -> None:
        """End the server and keep its folder; `restart` brings it back."""
        self._end(self.stop_signals)

    def restart(self, *, immediate: bool = False) -> None:
        """Start again on the same port and data; ``immediate`` ends it without a clean-up."""
        self._end((self.kill_signal,) if immediate else self.stop_signals)
        self._launch()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch_on_free_port(self) -> None:
        for _ in range(PORT_TRIES - 1):
            self.port = free_port()
            try:
                return self._launch()
            except _PortTakenError:
                continue
        self.port = free_port()
        return self._launch()

    def _launch(self) -> None:
        self._configure()
        self._log_start = len(self.log())
        process = self._process = self._spawn(self._command())
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if self._ready():
                return
            if process.poll() is not None:
                self._process = None
                self._fail(f"ended at once with exit code {process.returncode}")
            time.sleep(0.02)
        self._end((self.kill_signal,))
        self._fail(f"did not answer within {START_LIMIT:.0f} s")

    def _fail(self, cause: str) -> None:
        log = self._log_since_start()
        error = _PortTakenError if "address already in use" in log.lower() else ServerError
        raise error(f"{self.name} {cause}; its log ends with:\n{log[-LOG_TAIL:].strip()}")

    def _log_since_start(self) -> str:
        return self.log()[self._log_start :]

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **self._environment()},
                start_new_session=True,
                user=self._identity.user,
                group=self._identity.group,
                extra_groups=self._identity.extra_groups,
            )
        if self._guard is not None:
            self._guard.watch(process.pid)
        return process

    def _end(self, signals: Sequence[signal.Signals]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for number in (*signals, signal.SIGKILL):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(STOP_LIMIT)
                return
            except subprocess.TimeoutExpired:
                continue

    def _write(self, path: Path, text: str) -> Path:
        """A file that only the server's user can read."""
        path.touch(mode=0o600)
        path.write_text(text)
        self._give(path)
        return path

    def _give(self, path: Path) -> None:
        if self._identity.user is not None and self._identity.group is not None:
            os.chown(path, self._identity.user, self._identity.group)

    def _can_run(self, program: Path) -> bool:
        """Whether the server's user reaches ``program``: a venv under /root is closed to it."""
        try:
            subprocess.run(
                [program, "--version"],
                check=True,
                capture_output=True,
                timeout=START_LIMIT,
                cwd=self.folder,
                user=self._identity.user,
                group=self._identity.group,
                extra_groups=self._identity.extra_groups,
            )
        except PermissionError:
            return False
        return True

    def _copy(self, source: Path, target: Path) -> None:
        """Copy a file or a folder to where the server's user can read it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
        for path in (target, *target.rglob("*"), *self._parents(target)):
            self._give(path)

    def _parents(self, path: Path) -> list[Path]:
        return [parent for parent in path.parents if self.folder in parent.parents]
