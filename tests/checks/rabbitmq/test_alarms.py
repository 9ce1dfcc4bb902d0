"""rabbitmq.alarms: facts in, findings out."""

from typing import Any

from backend_doctor import Confidence, Finding, Status
from backend_doctor.backends.rabbitmq.overview import Alarm, Alarms, Overview
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "rabbitmq" / "alarms.py")
OVERVIEW = Overview(
    cluster="shop",
    connections=4,
    channels=4,
    queues=3,
    consumers=0,
    ready=5000,
    unacknowledged=12,
)


def judge(*alarms: tuple[str, str], overview: Overview | None = OVERVIEW) -> Finding:
    facts = Alarms(alarms=tuple(Alarm(node=node, resource=what) for node, what in alarms))
    (finding,) = CHECK.function(facts, overview)
    assert isinstance(finding, Finding)
    return finding


def evidence(finding: Finding) -> dict[str, Any]:
    return {one.key: one.value for one in finding.evidence}


def commands(finding: Finding) -> str:
    return "\n".join(remedy.command for remedy in finding.remedies)


def test_no_alarm_is_fine_whatever_is_queued() -> None:
    finding = judge()
    assert finding.status is Status.OK
    assert finding.cause is None
    assert evidence(finding) == {"messages_ready": 5000}
    assert judge(overview=None).status is Status.OK


def test_an_alarm_blocks() -> None:
    finding = judge(("rabbit@a", "memory"))
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert (finding.cause.label, finding.cause.confidence) == (
        "rabbit.alarm_blocked",
        Confidence.CERTAIN,
    )
    assert "memory on rabbit@a" in finding.summary
    assert evidence(finding) == {"memory_alarm": "rabbit@a", "messages_ready": 5000}
    assert "list_queues" in commands(finding)
    assert "df -h" not in commands(finding)


def test_each_resource_and_node_has_its_own_way_out() -> None:
    finding = judge(("rabbit@a", "disk"), ("rabbit@b", "memory"), ("rabbit@b", "disk"))
    assert "disk on rabbit@a and memory on rabbit@b and disk on rabbit@b" in finding.summary
    assert "df -h" in commands(finding)
    assert commands(finding).count("status --formatter") == 2
    assert finding.measures[0].value == 3


def test_a_hostile_node_name_stays_an_argument() -> None:
    assert "--node 'x; reboot' " in commands(judge(("x; reboot", "memory")))
