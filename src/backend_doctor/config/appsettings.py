"""An application's own settings file, in the layout of the FastAPI reference project.

``database.postgresql.{url,pool_size,max_overflow}``, ``database.mongodb.{url,max_pool_size}``,
``database.redis.{url,max_connections}``, ``rabbitmq.url`` (or ``database.rabbitmq.url``) and
``server.workers`` are what to connect to; the file itself is examined as kind ``settings``.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from backend_doctor.config.appinstance import settings_instance
from backend_doctor.config.kinds import read_kind
from backend_doctor.config.model import Configuration, InstanceConfig, ServiceConfig
from backend_doctor.config.reading import Reader
from backend_doctor.place import did_you_mean
from backend_doctor.yamlfile import Node, read

SERVICE = "default"
_SECTIONS = {
    "postgresql": ("postgres", ("url", "pool_size", "max_overflow")),
    "mongodb": ("mongodb", ("url", "max_pool_size")),
    "redis": ("redis", ("url", "max_connections")),
    "rabbitmq": ("rabbitmq", ("url",)),
}
_LAYOUT = "database.postgresql.url, database.mongodb.url or database.redis.url"
_OTHER_SECTIONS = ("rabbitmq", "security", "cors")


def read_settings(path: Path, environ: Mapping[str, str]) -> Configuration:
    """The service ``default`` as an application's settings declare it.

    Raises ConfigurationError, also for a layout that is none of the reference's.
    """
    root = read(path)
    reader = Reader(environ, path.parent)
    top = reader.mapping(root, f"a mapping with {_LAYOUT}")
    if not any(section in top for section in ("database", *_OTHER_SECTIONS)):
        hint = _meant(top, ("database", *_OTHER_SECTIONS))
        raise root.place.error("has no database section: the layout is unknown", _LAYOUT, hint)
    backends = tuple(_backends(reader, top))
    own = settings_instance(SERVICE, "settings", path, environ, path.parent)
    services = (_service(reader, top, (*backends, own)),)
    return Configuration(source=root.place.source, services=services, everything=services)


def _backends(reader: Reader, top: Mapping[str, Node]) -> Iterator[InstanceConfig]:
    database: Mapping[str, Node] = {}
    if "database" in top:
        database = reader.mapping(top["database"], _LAYOUT)
        if not any(section in database for section in _SECTIONS):
            hint = _meant(database, _SECTIONS)
            raise top["database"].place.error("holds no backend that is examined", _LAYOUT, hint)
    for section in _SECTIONS:
        node = database.get(section) or (top.get(section) if section == "rabbitmq" else None)
        if node is not None:
            yield from _section(reader, section, node)


def _meant(keys: Iterable[str], known: Iterable[str]) -> str:
    return next(filter(None, (did_you_mean(key, known) for key in keys)), "")


def _section(reader: Reader, section: str, node: Node) -> list[InstanceConfig]:
    kind, keys = _SECTIONS[section]
    entries = reader.mapping(node, f"a mapping with {', '.join(keys)}")
    known = {key: entries[key] for key in keys if key in entries}
    return list(read_kind(reader, SERVICE, kind, Node(known, node.place)))


def _service(
    reader: Reader, top: Mapping[str, Node], instances: tuple[InstanceConfig, ...]
) -> ServiceConfig:
    server = top.get("server")
    entries = server.value if server is not None and isinstance(server.value, dict) else {}
    workers = entries.get("workers")
    if workers is None:
        return ServiceConfig(name=SERVICE, instances=instances)
    return ServiceConfig(
        name=SERVICE,
        workers=reader.number(workers, 1),
        instances=instances,
        origins={"workers": workers.place.origin},
    )
