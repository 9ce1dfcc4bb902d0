"""Where Debian puts the real servers of the suite; nothing is ever skipped for want of one."""

import shutil
from pathlib import Path


def debian_postgres_bin() -> Path:
    """The programs of PostgreSQL 15."""
    folder = Path("/usr/lib/postgresql/15/bin")
    if not (folder / "postgres").exists():
        raise RuntimeError(_advice(str(folder), "postgresql-15"))
    return folder


def redis_binary() -> Path:
    """Debian's redis-server."""
    return _program("redis-server", "redis-server")


def pgbouncer_binary() -> Path:
    """Debian's pgbouncer."""
    return _program("pgbouncer", "pgbouncer")


def nginx_binary() -> Path:
    """Debian's nginx."""
    return _program("nginx", "nginx-light")


def _program(name: str, package: str) -> Path:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError(_advice(name, package))
    return Path(found)


def _advice(what: str, package: str) -> str:
    return f"{what} is missing, the tests need it: run make test, or apt-get install {package}"
