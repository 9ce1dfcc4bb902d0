"""The configuration file's tree, turned into a Configuration."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from backend_doctor.config.beside import settled
from backend_doctor.config.kinds import SETTINGS, read_kind
from backend_doctor.config.model import (
    Configuration,
    Ignore,
    InstanceConfig,
    LimitValue,
    ServiceConfig,
)
from backend_doctor.config.placeless import PLACELESS, read_placeless
from backend_doctor.config.reading import Reader
from backend_doctor.facts import ADHOC
from backend_doctor.place import did_you_mean, listed, shown
from backend_doctor.yamlfile import Node, read

TOP_KEYS = ("services", "limits", "ignore", "checks")
KINDS = (*SETTINGS, *PLACELESS)
SERVICE_KEYS = ("replicas", "workers", *KINDS)
IGNORE_KEYS = ("check", "reason", "until", "cause", "service")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,62}")
_CHECK_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def read_configuration(path: Path, environ: Mapping[str, str], *, trusted: bool) -> Configuration:
    """What a configuration file says. Raises ConfigurationError.

    ``trusted``: whether the file may name folders of checks, which is code that will run.
    """
    root = read(path)
    reader = Reader(environ, path.parent)
    top = reader.mapping(root, "a mapping with services", TOP_KEYS)
    services = tuple(_services(reader, reader.required(top, "services", root)))
    return Configuration(
        source=root.place.source,
        services=services,
        limits=_limits(reader, top["limits"]) if "limits" in top else {},
        ignores=tuple(_ignores(reader, top["ignore"], services)) if "ignore" in top else (),
        check_folders=tuple(_folders(reader, top["checks"], trusted)) if "checks" in top else (),
        everything=services,
    )


def _services(reader: Reader, node: Node) -> Iterator[ServiceConfig]:
    what = "a mapping of service names, each with its backends"
    entries = reader.mapping(node, what)
    if not entries:
        raise node.place.error("no service has a backend", f"{listed(KINDS)} in one")
    for name, child in entries.items():
        if not _SERVICE_NAME.fullmatch(name):
            raise child.place.error(
                "is no name for a service", "letters, digits, - and _ (at most 63)"
            )
        if name == ADHOC:
            raise child.place.error("is reserved for URLs on the command line", "another name")
        yield _service(reader, name, child)


def _service(reader: Reader, name: str, node: Node) -> ServiceConfig:
    entries = reader.mapping(node, f"a mapping with {listed(KINDS)}", SERVICE_KEYS)
    if not any(kind in entries for kind in KINDS):
        raise node.place.error("has no backend", listed(KINDS))
    counted = [key for key in ("replicas", "workers") if key in entries]
    counts = {key: reader.number(entries[key], 1) for key in counted}
    instances = [
        instance
        for kind in KINDS
        if kind in entries
        for instance in _instances(reader, name, kind, entries[kind])
    ]
    return ServiceConfig(
        name=name,
        replicas=counts.get("replicas", 1),
        workers=counts.get("workers", 1),
        instances=settled(instances, entries["token"].place if "token" in entries else node.place),
        origins={key: entries[key].place.origin for key in counted},
    )


def _instances(reader: Reader, service: str, kind: str, node: Node) -> Iterator[InstanceConfig]:
    read = read_placeless if kind in PLACELESS else read_kind
    return read(reader, service, kind, node)


def _check_id(text: str, node: Node) -> str:
    if not _CHECK_ID.fullmatch(text):
        raise node.place.error(f"{shown(text)} is no check's id", "postgres.pool_exhaustion, ...")
    return text


def _limits(reader: Reader, node: Node) -> dict[str, dict[str, LimitValue]]:
    what = "a mapping of check ids, each with its limits"
    return {
        _check_id(check, child): {
            name: reader.limit(value)
            for name, value in reader.mapping(child, "a mapping of limits").items()
        }
        for check, child in reader.mapping(node, what).items()
    }


def _ignores(reader: Reader, node: Node, services: tuple[ServiceConfig, ...]) -> Iterator[Ignore]:
    for item in reader.items(node, "a list of findings to ignore"):
        entries = reader.mapping(item, f"a mapping with {', '.join(IGNORE_KEYS)}", IGNORE_KEYS)
        check, reason, until = (reader.required(entries, key, item) for key in IGNORE_KEYS[:3])
        service = ""
        if "service" in entries:
            service = reader.text(entries["service"], "a service's name")
            names = [known.name for known in services]
            if service not in names:
                hint = did_you_mean(service, names)
                raise entries["service"].place.error("is no examined service", listed(names), hint)
        yield Ignore(
            check=_check_id(reader.text(check, "a check's id"), check),
            reason=reader.text(reason, "a reason"),
            until=reader.date(until),
            cause=reader.text(entries["cause"], "a cause's label") if "cause" in entries else "",
            service=service,
        )


def _folders(reader: Reader, node: Node, trusted: bool) -> Iterator[Path]:
    if not trusted:
        raise node.place.error(
            "checks are code, and this file was merely found in the current folder",
            f"it to be named (--config {node.place.source}), or --checks DIR",
        )
    for item in reader.items(node, "a list of folders"):
        folder = reader.folder / Path(reader.text(item, "a folder")).expanduser()
        if not folder.is_dir():
            raise item.place.error("is no folder that can be read", "an existing folder of checks")
        yield folder
