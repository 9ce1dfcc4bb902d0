"""What configuration comes down to, wherever it was read."""

import datetime
from pathlib import Path

import msgspec

from backend_doctor.endpoint import Endpoint
from backend_doctor.errors import ConfigurationError as ConfigurationError
from backend_doctor.facts import Setting

LimitValue = int | float | str | bool


class InstanceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One backend of a service. ``origin`` says where its URL came from ("from DATABASE_URL").

    ``origins`` says the same of each entry of ``settings``.
    """

    service: str
    kind: str
    name: str
    endpoint: Endpoint
    origin: str
    settings: dict[str, Setting] = {}
    origins: dict[str, str] = {}


class ServiceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One application and the backends it uses.

    ``origins`` says where replicas and workers were read, where they were.
    """

    name: str
    replicas: int = 1
    workers: int = 1
    instances: tuple[InstanceConfig, ...] = ()
    origins: dict[str, str] = {}


class Ignore(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that is known: shown, not counted, until a day. Empty fields match all."""

    check: str
    reason: str
    until: datetime.date
    cause: str = ""
    service: str = ""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """All that was configured. ``source`` is for people; ``limits`` are by check id and name.

    ``services`` are those to examine, ``everything`` also those that were not selected, since
    they may load the same servers.
    """

    source: str
    services: tuple[ServiceConfig, ...]
    limits: dict[str, dict[str, LimitValue]] = {}
    ignores: tuple[Ignore, ...] = ()
    check_folders: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    everything: tuple[ServiceConfig, ...] = ()
