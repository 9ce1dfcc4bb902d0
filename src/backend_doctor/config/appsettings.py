"""An application's own settings file, in the layout of the FastAPI reference project.

``database.postgresql.{url,pool_size,max_overflow}``, ``database.redis.{url,max_connections}``
and ``server.workers`` are read; everything else is the application's own business.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from backend_doctor.config.kinds import read_kind
from backend_doctor.config.model import Configuration, InstanceConfig, ServiceConfig
from backend_doctor.config.place import did_you_mean
from backend_doctor.config.reading import Reader
from backend_doctor.config.yamlfile import Node, read

SERVICE = "default"
_SECTIONS = {
    "postgresql": ("postgres", ("url", "pool_size", "max_overflow")),
    "redis": ("redis", ("url", "max_connections")),
}
_LAYOUT = "database.postgresql.url or database.redis.url"


def read_settings(path: Path, environ: Mapping[str, str]) -> Configuration:
    """The service ``default`` as an application's settings declare it.

    Raises ConfigurationError, also for a layout that is none of the reference's.
    """
    root = read(path)
    reader = Reader(environ, path.parent)
    top = reader.mapping(root, f"a mapping with {_LAYOUT}")
    if "database" not in top:
        hint = _meant(top, ("database",))
        raise root.place.error("has no database section: the layout is unknown", _LAYOUT, hint)
    database = reader.mapping(top["database"], _LAYOUT)
    instances = tuple(
        instance
        for section in _SECTIONS
        if section in database
        for instance in _section(reader, section, database[section])
    )
    if not instances:
        hint = _meant(database, _SECTIONS)
        raise top["database"].place.error("holds no backend that is examined", _LAYOUT, hint)
    services = (_service(reader, top, instances),)
    others = [name for name in ("mongodb", "rabbitmq") if name in database or name in top]
    source = root.place.source
    return Configuration(
        source=source,
        services=services,
        warnings=(f"{source}: not examined by this version: {', '.join(others)}",)
        if others
        else (),
        everything=services,
    )


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
