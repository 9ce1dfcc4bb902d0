"""A private PostgreSQL that follows another one."""

from collections.abc import Mapping

from backend_doctor.demo.servers import PostgresServer, ServerError


class StandbyServer(PostgresServer):
    """A hot standby of ``primary``, copied while that one runs; it streams as ``name``, through a
    ``slot`` that is created for it, if named."""

    def __init__(
        self,
        primary: PostgresServer,
        *,
        name: str = "copy",
        slot: str = "",
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(primary.bin_dir, settings=settings)
        self._primary, self._name, self._slot = primary, name, slot

    def _prepare(self) -> None:
        reachable = self._can_run(self.bin_dir / "pg_basebackup")
        self._programs = self.bin_dir if reachable else self._copy_install()
        source = f"{self._primary.admin_url()}?application_name={self._name}"
        command = [str(self._programs / "pg_basebackup"), "--pgdata", str(self.data)]
        command += ["--dbname", source, "--checkpoint=fast", "--no-sync", "--write-recovery-conf"]
        command += ["--create-slot", "--slot", self._slot] if self._slot else []
        copying = self._spawn(command)
        try:
            code = copying.wait(30)
        finally:
            copying.kill()
            copying.wait()
        if code != 0:
            raise ServerError(f"pg_basebackup failed:\n{self.log()}")
