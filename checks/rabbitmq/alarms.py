from collections.abc import Iterator
from shlex import quote

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Measure,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.rabbitmq.overview import Alarm, Alarms, Overview


def _remedies(alarms: tuple[Alarm, ...]) -> Iterator[Remedy]:
    for node in sorted({alarm.node for alarm in alarms}):
        yield Remedy(
            step=Step.CONFIRM,
            command=f"rabbitmq-diagnostics --node {quote(node)} status --formatter json",
            effect="shows memory by use, free disk space, and the limit of each",
            language="sh",
        )
    resources = {alarm.resource for alarm in alarms}
    if "memory" in resources:
        yield Remedy(
            step=Step.CURE,
            command="rabbitmqctl list_queues name messages consumers memory --all-vhosts",
            effect="shows the queues that fill the memory: let their consumers catch up, or give "
            "them some; consumers are served during an alarm",
            language="sh",
        )
    if "disk" in resources:
        yield Remedy(
            step=Step.CURE,
            command="df -h /var/lib/rabbitmq",
            effect="shows what is left on the node's disk: free some of it, not by hand among "
            "the broker's files",
            language="sh",
        )
    yield Remedy(
        step=Step.PREVENT,
        command="Publish with confirms and a time limit, and bound each queue (max-length, TTL).",
        effect="a publisher then fails in time, where it now waits without an end",
        language="text",
    )


def _totals(overview: Overview) -> Evidence:
    return Evidence(
        key="messages_ready",
        value=overview.ready,
        text=f"{overview.ready} messages are ready and {overview.unacknowledged} unacknowledged "
        f"in {overview.queues} queues with {overview.consumers} consumers; "
        f"{overview.connections} connections are open",
        source="GET /api/overview",
    )


@check
def alarms(alarms: Alarms, overview: Overview | None) -> Iterator[Finding]:
    """A memory or disk alarm keeps everybody from publishing.

    One alarm of one node blocks the publishers of the whole cluster.
    """
    totals = (_totals(overview),) if overview else ()
    measure = Measure(name="alarms", value=len(alarms.alarms), critical=1)
    if not alarms.alarms:
        yield Finding(
            status=Status.OK,
            summary="No memory or disk alarm is in effect.",
            evidence=totals,
            measures=(measure,),
        )
        return
    what = " and ".join(f"{alarm.resource} on {alarm.node}" for alarm in alarms.alarms)
    yield Finding(
        status=Status.CRITICAL,
        summary=f"An alarm is in effect ({what}): nobody can publish.",
        evidence=(
            *(
                Evidence(
                    key=f"{alarm.resource}_alarm",
                    value=alarm.node,
                    text=f"{alarm.node} has a {alarm.resource} alarm in effect",
                    source="GET /api/health/checks/alarms",
                )
                for alarm in alarms.alarms
            ),
            *totals,
        ),
        cause=Cause(
            label="rabbit.alarm_blocked",
            confidence=Confidence.CERTAIN,
            because="while an alarm lasts, the broker reads nothing from connections that publish",
        ),
        remedies=tuple(_remedies(alarms.alarms)),
        measures=(measure,),
    )
