"""What a service's configuration may say of each kind of backend."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from backend_doctor.config.model import InstanceConfig
from backend_doctor.config.place import Place, shown
from backend_doctor.config.reading import Reader
from backend_doctor.config.references import Resolved
from backend_doctor.config.urls import parse_url
from backend_doctor.config.yamlfile import Node
from backend_doctor.facts import Setting

NOT_EXAMINED = ("pgbouncer", "mongodb", "rabbitmq", "http", "cors", "token", "process")
EXAMPLES = {
    "postgres": "a URL such as postgresql://app@db:5432/shop",
    "redis": "a URL such as redis://cache:6379/0",
}
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")
_ROLES = {role: role for role in ("primary", "replica")}

Read = Callable[[Reader, Node], Setting]
SETTINGS: dict[str, dict[str, Read]] = {
    "postgres": {
        "pool_size": lambda reader, node: reader.number(node, 1),
        # SQLAlchemy's -1: without bound
        "max_overflow": lambda reader, node: reader.number(node, -1),
        "role": lambda reader, node: reader.choice(node, _ROLES),
        "analyze": lambda reader, node: reader.flag(node),
    },
    "redis": {"max_connections": lambda reader, node: reader.number(node, 1)},
}
"""Kind of backend, key, how its value is read."""


def default_name(kind: str, taken: set[str]) -> str:
    """The kind itself, or else ``KIND-2``, ``KIND-3``, ..."""
    number = 1
    while (name := kind if number == 1 else f"{kind}-{number}") in taken:
        number += 1
    return name


def read_kind(reader: Reader, service: str, kind: str, node: Node) -> Iterator[InstanceConfig]:
    """The instances of one kind: from a URL, a mapping, or a list of either."""
    if isinstance(node.value, list) and not node.value:
        raise node.place.error("is an empty list", "a URL, a mapping with url, or a list of these")
    taken: set[str] = set()
    for item in node.value if isinstance(node.value, list) else [node]:
        instance = _instance(reader, service, kind, item, taken)
        taken.add(instance.name)
        yield instance


def _instance(
    reader: Reader, service: str, kind: str, node: Node, taken: set[str]
) -> InstanceConfig:
    entries: dict[str, Node] = {}
    url = node
    if not isinstance(node.value, str):
        what = "a URL, a mapping with url, or a list of these"
        entries = reader.mapping(node, what, ("url", "name", *SETTINGS[kind]))
        url = reader.required(entries, "url", node)
    name = default_name(kind, taken)
    if "name" in entries:
        name = _name(reader, entries["name"], taken)
    given = {key: read for key, read in SETTINGS[kind].items() if key in entries}
    return replace(
        instance_at(service, name, reader.secret(url, EXAMPLES[kind]), url.place, kind),
        settings={key: read(reader, entries[key]) for key, read in given.items()},
        origins={key: entries[key].place.origin for key in given},
    )


def _name(reader: Reader, node: Node, taken: set[str]) -> str:
    name = reader.text(node, "a name")
    if not _INSTANCE_NAME.fullmatch(name):
        raise node.place.error("is no name for a backend", "letters, digits, '.', - and _")
    if name in taken:
        raise node.place.error(f"the name {shown(name)} is taken", "a name used once in its kind")
    return name


def instance_at(
    service: str, name: str, url: Resolved, place: Place, kind: str = ""
) -> InstanceConfig:
    """The instance at a URL; of any examined kind; another than ``kind``, if given, is refused.

    Raises ConfigurationError.
    """
    endpoint = parse_url(url.text, place=f"{place} ({url.origin})" if url.origin else str(place))
    if kind and endpoint.kind != kind:
        raise place.error(f"is a URL of {endpoint.kind}, not of {kind}", EXAMPLES[kind])
    return InstanceConfig(
        service=service,
        kind=endpoint.kind,
        name=name,
        endpoint=endpoint,
        origin=url.origin or place.origin,
    )
