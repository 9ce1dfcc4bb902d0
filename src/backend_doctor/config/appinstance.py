"""The application's own settings as something to examine: its file, and what overrides it."""

from collections.abc import Mapping
from pathlib import Path

from backend_doctor.config.model import InstanceConfig
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Setting
from backend_doctor.references import variable
from backend_doctor.secret import Secret
from backend_doctor.text import storable

FROM_ENVIRONMENT = ("SECRET_KEY", "CORS_ORIGINS", "APP_ENV")
"""The variables that by themselves make settings to examine."""
ENVIRONMENT = "environment"
_OVERRIDES = {"env": "APP_ENV", "log_level": "LOG_LEVEL", "cors_origins": "CORS_ORIGINS"}


def settings_instance(
    service: str,
    name: str,
    path: Path | None,
    environ: Mapping[str, str],
    folder: Path,
    declared: Mapping[str, tuple[Setting, str]] | None = None,
) -> InstanceConfig:
    """The settings in the file ``path`` (None: in the environment alone), as one instance.

    ``declared`` are settings and their origins that go before the environment's. SECRET_KEY
    becomes the secret ``secret_key``. Raises ConfigurationError.
    """
    settings: dict[str, Setting] = {}
    origins: dict[str, str] = {}
    for key, variable_name in _OVERRIDES.items():
        found = variable(variable_name, environ, folder, place=ENVIRONMENT)
        if found is not None:
            settings[key], origins[key] = storable(found.text), found.origin
    for key, (value, origin) in (declared or {}).items():
        settings[key], origins[key] = value, origin
    secret = variable("SECRET_KEY", environ, folder, place=ENVIRONMENT)
    where = ENVIRONMENT if path is None else str(path)
    return InstanceConfig(
        service=service,
        kind="settings",
        name=name,
        endpoint=Endpoint(
            kind="settings",
            hosts=(),
            socket=where,
            options=() if path is None else (("file", where),),
            secrets=(("secret_key", Secret(secret.text)),) if secret is not None else (),
            scope=repr(sorted(settings.items())),
        ),
        origin=ENVIRONMENT if path is None else where,
        settings=settings,
        origins=origins,
    )
