"""What a service's configuration may say of each kind of backend that a URL names."""

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from backend_doctor.config import clients
from backend_doctor.config.model import InstanceConfig
from backend_doctor.config.reading import Reader
from backend_doctor.config.urls import parse_url
from backend_doctor.facts import Setting
from backend_doctor.place import Place, shown
from backend_doctor.references import Resolved
from backend_doctor.yamlfile import Node

EXAMPLES = {
    "postgres": "a URL such as postgresql://app@db:5432/shop",
    "pgbouncer": "a URL such as postgresql://doctor@pool:6432/pgbouncer",
    "mongodb": "a URL such as mongodb://app@mongo:27017/shop",
    "redis": "a URL such as redis://cache:6379/0",
    "rabbitmq": "a URL such as amqp://app@broker:5672/",
    "http": "a URL such as https://api.example.com",
    "cors": "a URL such as https://api.example.com",
}
_WEB = ("http", "cors")
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")
_ROLES = {role: role for role in ("primary", "replica")}

Read = Callable[[Reader, Node], Setting]


def _path(reader: Reader, node: Node) -> str:
    path = reader.text(node, "a path such as /healthz")
    if not path.startswith("/") or re.search(r"[\s\x00-\x1f\x7f]", path):
        raise node.place.error("is no path", "a path such as /healthz")
    return path


def _paths(reader: Reader, node: Node) -> tuple[str, ...]:
    paths = reader.texts(node, "a list of paths such as /api/orders")
    if not all(path.startswith("/") for path in paths):
        raise node.place.error("holds what is no path", "paths such as /api/orders")
    return paths


def _each(written: Callable[[str], str | None], what: str) -> Read:
    def read(reader: Reader, node: Node) -> tuple[str, ...]:
        found = tuple(written(text) for text in reader.texts(node, f"a list, each {what}"))
        if None in found:
            raise node.place.error("holds what is none", what)
        return tuple(filter(None, found))

    return read


def _management(reader: Reader, node: Node) -> str:
    found = reader.secret(node, "the management API's URL, such as http://broker:15672")
    endpoint = parse_url(found.text, place=str(node.place))
    if endpoint.kind != "http":
        raise node.place.error(f"is a URL of {endpoint.kind}", "http://broker:15672")
    if endpoint.user or endpoint.password:
        raise node.place.error(
            "holds user or password", "the URL alone; the amqp URL's user is used"
        )
    return endpoint.url


SETTINGS: dict[str, dict[str, Read]] = {
    "postgres": {
        "pool_size": lambda reader, node: reader.number(node, 1),
        # SQLAlchemy's -1: without bound
        "max_overflow": lambda reader, node: reader.number(node, -1),
        "role": lambda reader, node: reader.choice(node, _ROLES),
        "analyze": lambda reader, node: reader.flag(node),
    },
    "pgbouncer": {},
    # the driver's 0: without bound
    "mongodb": {"max_pool_size": lambda reader, node: reader.number(node, 0)},
    "redis": {"max_connections": lambda reader, node: reader.number(node, 1)},
    "rabbitmq": {"management": _management},
    "http": {"health": _path, "metrics": _path},
    "cors": {
        "origins": _each(clients.origin, clients.ORIGIN),
        "methods": _each(clients.method, clients.METHOD),
        "headers": _each(clients.header, clients.HEADER),
        "expose": _each(clients.header, clients.HEADER),
        "paths": _paths,
        "refused": _each(clients.origin, clients.ORIGIN),
        "credentials": lambda reader, node: reader.flag(node),
    },
}
"""Kind of backend, key, how its value is read."""
_STEERING = ("rabbitmq", *_WEB)
"""Kinds whose settings steer what is looked at, so that others' looks do not serve."""


def default_name(kind: str, taken: set[str]) -> str:
    """The kind itself, or else ``KIND-2``, ``KIND-3``, ..."""
    number = 1
    while (name := kind if number == 1 else f"{kind}-{number}") in taken:
        number += 1
    return name


def items(node: Node, what: str) -> list[Node]:
    """The instances of one kind: the one that stands there, or those of a list."""
    if isinstance(node.value, list) and not node.value:
        raise node.place.error("is an empty list", f"{what}, or a list of these")
    return node.value if isinstance(node.value, list) else [node]


def read_kind(reader: Reader, service: str, kind: str, node: Node) -> Iterator[InstanceConfig]:
    """The instances of one kind: from a URL, a mapping, or a list of either."""
    taken: set[str] = set()
    for item in items(node, "a URL, a mapping with url"):
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
    name = instance_name(reader, entries, kind, taken)
    given = {key: read for key, read in SETTINGS[kind].items() if key in entries}
    settings = {key: read(reader, entries[key]) for key, read in given.items()}
    found = instance_at(service, name, reader.secret(url, EXAMPLES[kind]), url.place, kind)
    scope = repr(sorted(settings.items())) if kind in _STEERING else ""
    return replace(
        found,
        endpoint=replace(found.endpoint, scope=scope),
        settings=settings,
        origins={key: entries[key].place.origin for key in given},
    )


def instance_name(reader: Reader, entries: Mapping[str, Node], kind: str, taken: set[str]) -> str:
    """The name that an instance is given, or its default; each once in its kind."""
    if "name" not in entries:
        return default_name(kind, taken)
    node = entries["name"]
    name = reader.text(node, "a name")
    if not _INSTANCE_NAME.fullmatch(name):
        raise node.place.error("is no name for a backend", "letters, digits, '.', - and _")
    if name in taken:
        raise node.place.error(f"the name {shown(name)} is taken", "a name used once in its kind")
    return name


def instance_at(
    service: str, name: str, url: Resolved, place: Place, kind: str = ""
) -> InstanceConfig:
    """The instance at a URL; of any kind; another than ``kind``, if given, is refused.

    An http(s) URL serves both kinds that speak it. Raises ConfigurationError.
    """
    where = f"{place} ({url.origin})" if url.origin else str(place)
    endpoint = parse_url(url.text, place=where, kind=kind)
    if kind in _WEB and endpoint.kind == "http":
        endpoint = replace(endpoint, kind=kind)
    if kind and endpoint.kind != kind:
        raise place.error(f"is a URL of {endpoint.kind}, not of {kind}", EXAMPLES[kind])
    return InstanceConfig(
        service=service,
        kind=endpoint.kind,
        name=name,
        endpoint=endpoint,
        origin=url.origin or place.origin,
    )
