"""A private PgBouncer in front of a private PostgreSQL."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tests.servers.debian import pgbouncer_binary

from backend_doctor.demo.servers import PostgresServer, Server


class PgBouncer(Server):
    """Debian's PgBouncer; every database name leads to the same name on ``upstream``.

    ``users`` (name to password) are let in besides the superuser: without a password under
    ``auth_type="trust"``, with it under ``"plain"`` or ``"scram-sha-256"``. The ``admin_users``
    may use the console, a database called ``pgbouncer``; ``stats_users`` may look there.
    ``target`` is what the line in [databases] says besides, or instead.
    """

    name = "pgbouncer"

    def __init__(
        self,
        upstream: PostgresServer,
        *,
        pool_mode: str = "transaction",
        pool_size: int = 2,
        max_client_conn: int = 20,
        auth_type: str = "trust",
        users: Mapping[str, str] | None = None,
        admin_users: Sequence[str] = ("postgres",),
        stats_users: Sequence[str] = (),
        settings: Mapping[str, str | int] | None = None,
        target: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__()
        self.upstream = upstream
        self.target = target or {}
        self.users = {"postgres": upstream.password or "", **(users or {})}
        self.settings: dict[str, str | int] = {
            "pool_mode": pool_mode,
            "default_pool_size": pool_size,
            "max_client_conn": max_client_conn,
            "auth_type": auth_type,
            "admin_users": ",".join(admin_users),
            **({"stats_users": ",".join(stats_users)} if stats_users else {}),
            **(settings or {}),
        }

    def url(
        self, user: str = "postgres", password: str | None = None, database: str = "postgres"
    ) -> str:
        """URL of the pooler with exactly these credentials, percent-encoded."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{quote(user, safe='')}{secret}@{self.host}:{self.port}/{database}"

    def console_url(self, user: str = "doctor", password: str | None = None) -> str:
        """URL of the console with exactly these credentials."""
        return self.url(user, password, "pgbouncer")

    def _configure(self) -> None:
        users = "".join(f'"{_doubled(n)}" "{_doubled(p)}"\n' for n, p in self.users.items())
        auth_file = self._write(self.folder / "userlist.txt", users)
        # No unix socket: with one it would come up although its TCP port is taken.
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_file": auth_file,
            **self.settings,
        }
        places = {"host": self.upstream.host, "port": self.upstream.port, **self.target}
        target = " ".join(f"{key}={value}" for key, value in places.items())
        lines = ["[databases]", f"* = {target}", "[pgbouncer]"]
        lines += [f"{key} = {value}" for key, value in settings.items()]
        self._write(self.folder / "pgbouncer.ini", "\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        return [str(pgbouncer_binary()), str(self.folder / "pgbouncer.ini")]

    def _ready(self) -> bool:
        return "process up" in self._log_since_start()


def _doubled(text: str) -> str:
    return text.replace('"', '""')
