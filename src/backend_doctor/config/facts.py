"""Configuration as facts: what checks may know of a service, without its secrets."""

from collections.abc import Iterator

from backend_doctor.config.model import Configuration, InstanceConfig, ServiceConfig
from backend_doctor.facts import Instance, Service
from backend_doctor.text import storable


def instance_fact(instance: InstanceConfig) -> Instance:
    """One configured backend as a fact."""
    endpoint = instance.endpoint
    return Instance(
        service=instance.service,
        backend=instance.kind,
        name=instance.name,
        address=storable(endpoint.address),
        host=storable(endpoint.host),
        port=endpoint.port,
        database=storable(endpoint.database or ""),
        user=storable(endpoint.user or ""),
        settings=dict(instance.settings),
    )


def service_fact(configuration: Configuration, service: ServiceConfig) -> Service:
    """A service as a fact, with its neighbours out of all that is configured."""
    return Service(
        name=service.name,
        replicas=service.replicas,
        workers=service.workers,
        instances=tuple(instance_fact(one) for one in service.instances),
        neighbours=tuple(_neighbours(configuration, service)),
    )


def declare(configuration: Configuration) -> dict[str, Service]:
    """The facts of the services to examine, by service name."""
    return {one.name: service_fact(configuration, one) for one in configuration.services}


def _neighbours(configuration: Configuration, service: ServiceConfig) -> Iterator[Service]:
    servers = {(one.kind, one.endpoint.server) for one in service.instances}
    for other in configuration.everything or configuration.services:
        shared = tuple(
            instance_fact(one)
            for one in other.instances
            if (one.kind, one.endpoint.server) in servers
        )
        if shared and other.name != service.name:
            yield Service(
                name=other.name,
                replicas=other.replicas,
                workers=other.workers,
                instances=shared,
            )
