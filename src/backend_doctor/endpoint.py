"""Where a backend is reached, and with what credentials; made by `config`, used by `backends`."""

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from backend_doctor.secret import Secret

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
DEFAULT_PORTS = {
    "postgres": 5432,
    "pgbouncer": 6432,
    "redis": 6379,
    "mongodb": 27017,
    "rabbitmq": 5672,
    "http": 80,
    "cors": 80,
}


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Transport security in libpq's words; the files are paths to PEM files."""

    mode: TlsMode = "prefer"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed URL. ``hosts`` are (name or address, port), tried in order.

    ``socket`` is a unix socket's path (Redis) or folder (PostgreSQL) and then stands in for
    the host; a kind without a network address (a process, a file) says there where it is.
    ``options`` are the query parameters that no other field holds. ``url`` is the whole URL
    of an HTTP kind, without user and password; ``secrets`` are further ones by name.
    ``scope`` holds what else is declared that steers what is looked at (the clients of a cors
    endpoint), so that two endpoints which differ in it are looked at one by one.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    user: str | None = None
    password: Secret | None = None
    database: str | None = None
    tls: Tls = Tls()
    socket: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    url: str = ""
    secrets: tuple[tuple[str, Secret], ...] = ()
    scope: str = ""

    @property
    def host(self) -> str:
        """The first host, or the socket."""
        return self.socket or self.hosts[0][0]

    @property
    def port(self) -> int:
        """The first port."""
        return self.hosts[0][1] if self.hosts else 0

    def secret(self, name: str) -> Secret | None:
        """One of the further secrets."""
        return dict(self.secrets).get(name)

    @property
    def address(self) -> str:
        """Host, port and database for people; never the user or password."""
        if self.socket:
            place = self.socket
        else:
            place = ",".join(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
            )
        return f"{place}/{self.database}" if self.database not in (None, "", "/") else place

    @property
    def server(self) -> tuple[str, tuple[tuple[str, int], ...]]:
        """What makes two endpoints the same server, whatever the database and user."""
        return (self.socket or "", self.hosts)

    @property
    def session(self) -> tuple[object, ...]:
        """What makes two endpoints share one connection: server, database, user and scope."""
        place = (self.kind, self.server, self.database, self.user, self.url)
        return (*place, self.secrets, self.scope)


def public_url(url: str) -> str:
    """A URL without user, password, query and fragment. Raises ValueError for what is none."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()
