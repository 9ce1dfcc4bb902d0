"""The broker at large: alarms in effect, and the totals of its management API."""

from typing import Any, Self

import msgspec

from backend_doctor.backends.rabbitmq.connection import RabbitConnection
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance


def _management(instance: Instance) -> str:
    url = instance.settings.get("management")
    if not url:
        raise Absent(
            "No management URL is configured, so alarms cannot be seen",
            kind=AbsenceKind.NOT_APPLICABLE,
        )
    return str(url)


class Overview(Fact, frozen=True):
    """Totals over the virtual hosts that our user may see, some seconds old."""

    cluster: str
    connections: int
    channels: int
    queues: int
    consumers: int
    ready: int
    unacknowledged: int

    @classmethod
    async def collect(cls, rabbit: RabbitConnection, instance: Instance) -> Self:
        """One GET of /api/overview. Raises Absent without a management URL or the right."""
        _, found = await rabbit.management(_management(instance), "/api/overview")
        totals: dict[str, Any] = found.get("object_totals") or {}
        messages: dict[str, Any] = found.get("queue_totals") or {}
        return cls(
            cluster=str(found.get("cluster_name", "")),
            connections=int(totals.get("connections", 0)),
            channels=int(totals.get("channels", 0)),
            queues=int(totals.get("queues", 0)),
            consumers=int(totals.get("consumers", 0)),
            ready=int(messages.get("messages_ready", 0)),
            unacknowledged=int(messages.get("messages_unacknowledged", 0)),
        )


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm in effect; ``resource`` is ``memory`` or ``disk``."""

    node: str
    resource: str


class Alarms(Fact, frozen=True):
    """The alarms in effect in the whole cluster: while there is one, nobody may publish."""

    alarms: tuple[Alarm, ...]

    @classmethod
    async def collect(cls, rabbit: RabbitConnection, instance: Instance) -> Self:
        """One GET of /api/health/checks/alarms. Raises Absent likewise."""
        status, found = await rabbit.management(_management(instance), "/api/health/checks/alarms")
        if status == 200:
            return cls(alarms=())
        alarms = found.get("alarms")
        if not alarms:
            raise Absent(
                "the management API says that it cannot serve now", kind=AbsenceKind.FAILED
            )
        return cls(
            alarms=tuple(
                Alarm(node=str(one.get("node", "")), resource=str(one.get("resource", "")))
                for one in alarms
            )
        )
