"""Reads an application's settings file; nothing is asked over the network."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from backend_doctor.endpoint import Endpoint
from backend_doctor.errors import ConfigurationError
from backend_doctor.facts import Login, Problem
from backend_doctor.secret import Secret
from backend_doctor.text import safe_text

if TYPE_CHECKING:
    from backend_doctor.yamlfile import Node

Raw = str | int | float | bool | None
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Entry(msgspec.Struct, frozen=True):
    """One value of the file: ``key`` is its dotted path in lower case, ``value`` a scalar or the
    scalars of a list, with references replaced.

    ``place`` is file and line, ``origin`` names the variables ("from SECRET_KEY"), and
    ``unresolved`` those that are not set: then the value is as it was written.
    """

    key: str
    value: Raw | tuple[Raw, ...]
    place: str
    origin: str = ""
    unresolved: tuple[str, ...] = ()


class SettingsFile:
    """The entries of one settings file, and the secret that the environment puts above it.

    ``path`` is None where the environment is all.
    """

    def __init__(
        self,
        source: str,
        path: Path | None,
        entries: tuple[Entry, ...],
        secret_key: Secret | None,
    ) -> None:
        self.statements = 0
        self.source = source
        self.path = path
        self.entries = entries
        self.secret_key = secret_key

    def is_closed(self) -> bool:
        """Never: nothing is kept open."""
        return False

    async def close(self) -> None:
        """Nothing to say goodbye to."""

    def abort(self) -> None:
        """Nothing to drop."""


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, SettingsFile | None]:
    """Reads the file that the option ``file`` names; without it, the environment is all."""
    started = time.monotonic()
    named = dict(endpoint.options).get("file")
    path = None if named is None else Path(named)
    problem, message, entries = Problem.NONE, "", tuple[Entry, ...]()
    try:
        if path is not None:
            entries = _read(path)
    except ConfigurationError as error:
        problem, message = Problem.OTHER, str(error)
    login = Login(
        problem=problem,
        address=endpoint.address,
        message=message,
        server="settings" if problem is Problem.NONE else "",
        seconds=round(time.monotonic() - started, 4),
        limit=limit,
    )
    if problem is not Problem.NONE:
        return login, None
    return login, SettingsFile(endpoint.address, path, entries, endpoint.secret("secret_key"))


def _read(path: Path) -> tuple[Entry, ...]:
    from backend_doctor.yamlfile import read

    # a pipe or a device might never end
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{safe_text(str(path))}: is no file; expected a YAML file")
    root = read(path)
    if not isinstance(root.value, dict):
        raise root.place.error(f"is {root.type_name}", "a mapping with database, security or cors")
    return tuple(_entries("", root, os.environ))


def _entries(key: str, node: "Node", environ: Mapping[str, str]) -> Iterator[Entry]:
    if isinstance(node.value, dict):
        for name, child in node.value.items():
            spoken = name.lower().replace("-", "_")
            yield from _entries(f"{key}.{spoken}" if key else spoken, child, environ)
    elif isinstance(node.value, list):
        parts = [
            _entry(key, item, environ) for item in node.value if not isinstance(item.value, dict)
        ]
        yield Entry(
            key,
            tuple(part.value for part in parts if not isinstance(part.value, tuple)),
            node.place.origin,
            unresolved=tuple(name for part in parts for name in part.unresolved),
        )
    else:
        yield _entry(key, node, environ)


def _entry(key: str, node: "Node", environ: Mapping[str, str]) -> Entry:
    from backend_doctor.references import substitute

    value = node.value
    if not isinstance(value, str):
        scalar = value if isinstance(value, (bool, int, float)) else None
        return Entry(key, scalar, node.place.origin)
    try:
        found = substitute(value, environ, place=str(node.place))
    except ConfigurationError:
        names = dict.fromkeys(name for name in _REFERENCE.findall(value) if name not in environ)
        return Entry(key, value, node.place.origin, unresolved=tuple(names) or ("${",))
    return Entry(key, found.text, node.place.origin, origin=found.origin)
