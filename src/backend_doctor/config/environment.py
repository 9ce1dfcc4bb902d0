"""The service that the bare environment describes, where there is no configuration file."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from backend_doctor.config.kinds import instance_at
from backend_doctor.config.model import Configuration, InstanceConfig, ServiceConfig
from backend_doctor.config.place import Place
from backend_doctor.config.references import Resolved, read_secret

SERVICE = "default"
VARIABLES = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
NOT_EXAMINED = ("MONGODB_URL", "AMQP_URL", "SECRET_KEY", "CORS_ORIGINS")


def read_environment(environ: Mapping[str, str], folder: Path) -> Configuration | None:
    """The service ``default``, or None where no variable names an examined backend.

    Each variable may also be given as ``NAME_FILE``, the path (from ``folder``) of a file
    that holds the value. Raises ConfigurationError.
    """
    instances = tuple(_instances(environ, folder))
    if not instances:
        return None
    services = (ServiceConfig(name=SERVICE, instances=instances),)
    warning = "environment: not examined by this version: "
    others = variables_not_examined(environ)
    return Configuration(
        source="environment",
        services=services,
        warnings=(warning + ", ".join(others),) if others else (),
        everything=services,
    )


def variables_not_examined(environ: Mapping[str, str]) -> list[str]:
    """The set variables that name a backend or secret which this version does not examine."""
    return [name for name in NOT_EXAMINED if environ.get(name) or environ.get(f"{name}_FILE")]


def _instances(environ: Mapping[str, str], folder: Path) -> Iterator[InstanceConfig]:
    place = Place("environment")
    for kind, name in VARIABLES.items():
        value, path = environ.get(name), environ.get(f"{name}_FILE")
        if value and path:
            raise place.error(f"{name} and {name}_FILE are both set", "one of them")
        if path:
            origin = f"from {name}_FILE"
            text = read_secret(folder, path, place=f"{place} ({origin})")
            yield instance_at(SERVICE, kind, Resolved(text, origin), place, kind)
        elif value:
            yield instance_at(SERVICE, kind, Resolved(value, f"from {name}"), place, kind)
