"""A settings file, read as the product reads it, and judged by one check."""

import asyncio
import os
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from backend_doctor import Each, Finding, Instance, Login, Service, Status
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.settings.application import ApplicationSettings
from backend_doctor.backends.settings.connection import connect
from backend_doctor.config.appinstance import settings_instance
from backend_doctor.config.facts import instance_fact
from backend_doctor.registry import Check, bundled_folder, load_file

REFERENCE = Path(__file__).with_name("settings.yaml")
STRONG = "zX4-Qm81_pLr7TnV2kWc9HsYd5uGe3Bf6jAo0iRt"
Environ = Mapping[str, str]


def read(path: Path | None, environ: Environ) -> tuple[Login, ApplicationSettings | None, Instance]:
    """The file's facts, with nothing but ``environ`` in the environment."""
    with mock.patch.dict(os.environ, environ, clear=True):
        configured = settings_instance("shop", "settings", path, environ, Path())
        instance = instance_fact(configured)
        login, file = asyncio.run(connect(configured.endpoint, limit=5.0))
        if file is None:
            return login, None, instance
        return login, asyncio.run(ApplicationSettings.collect(file, instance)), instance


class Examining:
    """Judges texts of a settings file by one check."""

    def __init__(self, name: str, folder: Path) -> None:
        self.check: Check = load_file(bundled_folder() / "settings" / f"{name}.py")
        self._path = folder / "settings.yaml"

    def facts(self, text: str, environ: Environ) -> ApplicationSettings:
        """The facts of a settings file with this text."""
        self._path.write_text(textwrap.dedent(text), encoding="utf-8")
        found = read(self._path, environ)[1]
        assert found is not None
        return found

    def __call__(
        self,
        text: str,
        *,
        environ: Environ | None = None,
        service: Service | None = None,
        slots: Slots | None = None,
        clients: ClientLimits | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> list[Finding]:
        """What the check says of the text; ``environ`` is all the environment there is."""
        known: dict[object, object] = {
            ApplicationSettings: self.facts(text, environ or {}),
            Service: service or Service(name="shop"),
            Slots: Each[Slots]({"postgres": slots} if slots else {}),
            ClientLimits: Each[ClientLimits]({"redis": clients} if clients else {}),
        }
        function: Callable[..., Any] = self.check.function
        return list(function(*(known[need.fact] for need in self.check.needs), **(limits or {})))


def causes(findings: list[Finding]) -> dict[str, Status]:
    """Cause and status of all findings that name one."""
    return {one.cause.label: one.status for one in findings if one.cause is not None}


def healthy(findings: list[Finding]) -> bool:
    """Whether there is one finding, and it is ok without a cause."""
    return [(one.status, one.cause) for one in findings] == [(Status.OK, None)]
