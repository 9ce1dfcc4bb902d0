"""What configuration comes down to, wherever it was read."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from backend_doctor.endpoint import Endpoint
from backend_doctor.errors import ConfigurationError as ConfigurationError
from backend_doctor.facts import Setting

LimitValue = int | float | str | bool


@dataclass(frozen=True, kw_only=True)
class InstanceConfig:
    """One backend of a service. ``origin`` says where its URL came from ("from DATABASE_URL").

    ``origins`` says the same of each entry of ``settings``.
    """

    service: str
    kind: str
    name: str
    endpoint: Endpoint
    origin: str
    settings: dict[str, Setting] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """One application and the backends it uses.

    ``origins`` says where replicas and workers were read, where they were.
    """

    name: str
    replicas: int = 1
    workers: int = 1
    instances: tuple[InstanceConfig, ...] = ()
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ignore:
    """A finding that is known: shown, not counted, until a day. Empty fields match all."""

    check: str
    reason: str
    until: datetime.date
    cause: str = ""
    service: str = ""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """All that was configured. ``source`` is for people; ``limits`` are by check id and name.

    ``services`` are those to examine, ``everything`` also those that were not selected, since
    they may load the same servers.
    """

    source: str
    services: tuple[ServiceConfig, ...]
    limits: dict[str, dict[str, LimitValue]] = field(default_factory=dict)
    ignores: tuple[Ignore, ...] = ()
    check_folders: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    everything: tuple[ServiceConfig, ...] = ()
