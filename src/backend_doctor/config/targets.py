"""What the command line names: services, backends of services, or URLs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from backend_doctor.config.kinds import default_name, instance_at
from backend_doctor.config.model import (
    Configuration,
    ConfigurationError,
    InstanceConfig,
    ServiceConfig,
)
from backend_doctor.facts import ADHOC
from backend_doctor.place import Place, did_you_mean, fault, listed, shown
from backend_doctor.references import is_reference, resolve

_COMMAND_LINE = "command line"
_VISIBLE = (
    "command line: others on this machine can read a password in the process list; "
    "use env:NAME or file:PATH in the URL's place"
)


def is_url(target: str) -> bool:
    """Whether a target is a URL or stands for one, rather than a configured name."""
    return "://" in target or is_reference(target)


def adhoc(
    targets: Sequence[str], environ: Mapping[str, str], folder: Path
) -> tuple[ServiceConfig, tuple[str, ...]]:
    """The service of the URLs among the targets, and warnings. Raises ConfigurationError.

    Its backends are named by their kind, then ``KIND-2`` and so on.
    """
    instances: list[InstanceConfig] = []
    warnings: dict[str, None] = {}
    for number, target in enumerate(targets, 1):
        if not is_url(target):
            continue
        place = Place(f"{_COMMAND_LINE}, target {number}")
        found = resolve(target, environ, folder, place=str(place))
        instance = instance_at(ADHOC, "", found, place)
        taken = {other.name for other in instances}
        instances.append(replace(instance, name=default_name(instance.kind, taken)))
        if instance.endpoint.password and not found.origin:
            warnings[_VISIBLE] = None
    return ServiceConfig(name=ADHOC, instances=tuple(instances)), tuple(warnings)


def select(configuration: Configuration, targets: Sequence[str]) -> tuple[ServiceConfig, ...]:
    """The services that SERVICE, SERVICE.KIND and SERVICE.KIND.NAME leave, in their order.

    Raises ConfigurationError for a name that is not configured.
    """
    chosen: dict[str, set[tuple[str, str]]] = {}
    for target in targets:
        service, instances = _named(configuration, target)
        chosen.setdefault(service, set()).update((one.kind, one.name) for one in instances)
    return tuple(
        replace(service, instances=tuple(_kept(service, chosen[service.name])))
        for service in configuration.services
        if service.name in chosen
    )


def _kept(service: ServiceConfig, chosen: set[tuple[str, str]]) -> Iterator[InstanceConfig]:
    return (one for one in service.instances if (one.kind, one.name) in chosen)


def _named(configuration: Configuration, target: str) -> tuple[str, tuple[InstanceConfig, ...]]:
    name, kind, instance, *_ = [*target.split(".", 2), "", ""]
    services = {service.name: service for service in configuration.services}
    if name not in services:
        raise _unknown("service", name, list(services), configuration.source)
    found = services[name].instances
    if kind:
        kinds = list(dict.fromkeys(one.kind for one in found))
        if kind not in kinds:
            raise _unknown("backend", kind, kinds, f"service {name} of {configuration.source}")
        found = tuple(one for one in found if one.kind == kind)
    if instance:
        names = [one.name for one in found]
        if instance not in names:
            raise _unknown("name", instance, names, f"{name}.{kind} of {configuration.source}")
        found = tuple(one for one in found if one.name == instance)
    return name, found


def _unknown(what: str, word: str, known: list[str], where: str) -> ConfigurationError:
    said = shown(word) if re.fullmatch(r"[\w.\-]+", word) else "this target (not shown)"
    problem = f"{said} is no {what} in {where}"
    return fault(_COMMAND_LINE, problem, listed(known), did_you_mean(word, known))
