"""The service that the bare environment describes, where there is no configuration file."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from backend_doctor.config.appinstance import FROM_ENVIRONMENT, settings_instance
from backend_doctor.config.kinds import instance_at
from backend_doctor.config.model import Configuration, InstanceConfig, ServiceConfig
from backend_doctor.place import Place
from backend_doctor.references import variable

SERVICE = "default"
VARIABLES = {
    "postgres": "DATABASE_URL",
    "pgbouncer": "PGBOUNCER_URL",
    "mongodb": "MONGODB_URL",
    "redis": "REDIS_URL",
    "rabbitmq": "AMQP_URL",
}
"""Kind of backend and the variable that holds its URL."""


def read_environment(environ: Mapping[str, str], folder: Path) -> Configuration | None:
    """The service ``default``, or None where no variable names anything to examine.

    Each variable may also be given as ``NAME_FILE``, the path (from ``folder``) of a file
    that holds the value. Raises ConfigurationError.
    """
    instances = tuple(_instances(environ, folder))
    if not instances:
        return None
    services = (ServiceConfig(name=SERVICE, instances=instances),)
    return Configuration(source="environment", services=services, everything=services)


def _instances(environ: Mapping[str, str], folder: Path) -> Iterator[InstanceConfig]:
    place = Place("environment")
    for kind, name in VARIABLES.items():
        found = variable(name, environ, folder, place=str(place))
        if found is not None:
            yield instance_at(SERVICE, kind, found, place, kind)
    if any(environ.get(name) or environ.get(f"{name}_FILE") for name in FROM_ENVIRONMENT):
        yield settings_instance(SERVICE, "settings", None, environ, folder)
