"""How many connections the declared pools may ask of one server: arithmetic, no server asked."""

from collections.abc import Iterator

from backend_doctor.facts import Instance, Service


def _claims(owner: Service, instance: Instance) -> Iterator[tuple[str, int]]:
    for one in owner.instances:
        same = (one.backend, one.host, one.port) == (instance.backend, instance.host, instance.port)
        most = one.number("max_connections")
        if same and most:
            text = f"{owner.name} {owner.replicas} x {owner.workers} x {most}"
            yield text, owner.replicas * owner.workers * most


def declared_demand(service: Service, instance: Instance) -> tuple[int, str]:
    """Sum of replicas x workers x max_connections over all declared on the server, and its terms.

    (0, "") where nothing is declared.
    """
    claims = [
        claim for owner in (service, *service.neighbours) for claim in _claims(owner, instance)
    ]
    return sum(number for _, number in claims), " + ".join(text for text, _ in claims)
