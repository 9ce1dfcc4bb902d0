"""Finds the configuration in use and makes it one object."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from backend_doctor.config.model import Configuration, ConfigurationError
from backend_doctor.config.targets import adhoc, is_url, select
from backend_doctor.place import listed
from backend_doctor.text import safe_text

FILE_NAME = "backend-doctor.yaml"
FILE_VARIABLE = "BACKEND_DOCTOR_CONFIG"


def load(
    *, config: Path | None = None, settings: Path | None = None, targets: Sequence[str] = ()
) -> Configuration:
    """The configuration in use, narrowed to ``targets``.

    ``config`` is a configuration file, ``settings`` an application's own settings file; else
    BACKEND_DOCTOR_CONFIG, ./backend-doctor.yaml, the user's configuration folder and the
    environment are tried in this order. Targets are SERVICE, SERVICE.KIND, SERVICE.KIND.NAME,
    URLs, ``env:NAME`` or ``file:PATH``; where all are URLs, only a given file is read.
    Raises ConfigurationError.
    """
    if config is not None and settings is not None:
        raise ConfigurationError(
            "command line: --config and --settings are both given; expected one of them"
        )
    environ = os.environ
    names = [target for target in targets if not is_url(target)]
    service, warnings = adhoc(targets, environ, Path())
    if service.instances and not names and config is None and settings is None:
        only = (service,)
        return Configuration(
            source="command line", services=only, warnings=warnings, everything=only
        )
    found = _found(config, settings, environ)
    if not targets:
        return found
    services = select(found, names)
    source = found.source
    if service.instances:
        services += (service,)
        source += " and the command line"
    return replace(
        found,
        source=source,
        services=services,
        warnings=found.warnings + warnings,
        everything=found.everything + ((service,) if service.instances else ()),
    )


def _found(config: Path | None, settings: Path | None, environ: Mapping[str, str]) -> Configuration:
    # a URL needs none of them
    from backend_doctor.config.appsettings import read_settings
    from backend_doctor.config.environment import read_environment
    from backend_doctor.config.schema import read_configuration

    if settings is not None:
        return read_settings(settings, environ)
    if config is None and environ.get(FILE_VARIABLE):
        config = Path(environ[FILE_VARIABLE])
    if config is not None:
        return read_configuration(config, environ, trusted=True)
    here, own = Path(FILE_NAME), user_file(environ)
    if os.path.lexists(here):
        return read_configuration(here, environ, trusted=False)
    if os.path.lexists(own):
        return read_configuration(own, environ, trusted=True)
    configuration = read_environment(environ, Path())
    if configuration is None:
        raise _nothing(own)
    return configuration


def user_file(environ: Mapping[str, str]) -> Path:
    """Where the user's own configuration file would be (XDG Base Directory)."""
    home = environ.get("XDG_CONFIG_HOME") or ""
    # a relative folder is to be ignored, says the specification; Path.expanduser would raise
    # for a user without a home
    folder = home if home.startswith("/") else os.path.expanduser("~/.config")  # noqa: PTH111
    return Path(folder, "backend-doctor", FILE_NAME)


def _nothing(own: Path) -> ConfigurationError:
    from backend_doctor.config.appinstance import FROM_ENVIRONMENT
    from backend_doctor.config.environment import VARIABLES

    variables = listed((*VARIABLES.values(), *FROM_ENVIRONMENT))
    return ConfigurationError(
        f"no configuration: looked for {FILE_VARIABLE}, ./{FILE_NAME}, {safe_text(str(own))} "
        f"and {variables} in the environment.\n"
        f"Write one with `backend-doctor init`, or examine a URL at once: "
        f"`backend-doctor check env:DATABASE_URL` or `backend-doctor check postgresql://...`"
    )
