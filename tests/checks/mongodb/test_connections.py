"""mongodb.connections: facts in, findings out."""

import shlex
from typing import Any

import pytest

from backend_doctor import Confidence, Finding, Instance, Service, Status, Step, Subject
from backend_doctor.backends.mongodb.connections import MongoConnections
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "mongodb" / "connections.py")


def place(host: str = "mongo", **settings: int) -> Instance:
    return Instance(
        service="shop",
        backend="mongodb",
        name="mongodb",
        address="mongo:27017/shop",
        host=host,
        port=27017,
        settings=dict(settings),
    )


def judge(
    facts: MongoConnections, instance: Instance | None = None, service: Service | None = None
) -> Finding:
    (finding,) = CHECK.function(facts, service or Service(name="shop"), instance or place())
    assert isinstance(finding, Finding)
    return finding


def evidence(finding: Finding) -> dict[str, Any]:
    return {one.key: one.value for one in finding.evidence}


@pytest.mark.parametrize(
    ("used", "most", "status"),
    [
        (0, 100, Status.OK),
        (79, 100, Status.OK),
        (80, 100, Status.WARNING),
        (94, 100, Status.WARNING),
        (95, 100, Status.CRITICAL),
        (13, 12, Status.CRITICAL),
        (5000, 65536, Status.OK),
    ],
)
def test_status(used: int, most: int, status: Status) -> None:
    finding = judge(MongoConnections(used=used, most=most))
    assert finding.status is status
    assert evidence(finding)["used_connections"] == used
    assert (finding.cause is None) == (status is Status.OK)
    assert bool(finding.remedies) == (status is not Status.OK)
    (measure,) = finding.measures
    assert (measure.value, measure.maximum) == (used, most)


def test_full_is_certain_and_near_is_likely() -> None:
    for used, confidence in ((85, Confidence.LIKELY), (97, Confidence.CERTAIN)):
        cause = judge(MongoConnections(used=used, most=100)).cause
        assert cause is not None
        assert (cause.label, cause.confidence) == ("mongo.connections_exhausted", confidence)


def test_refused_ourselves() -> None:
    finding = judge(MongoConnections(used=None, refused=True))
    assert finding.status is Status.CRITICAL
    assert evidence(finding) == {"refused": True}
    assert not finding.measures
    assert finding.explains == ("reach.full",)
    assert Subject(kind="login", value="mongo:27017/shop") in finding.subjects
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY, "an empty proxy looks the same"
    assert finding.remedies[0].step is Step.STOP


def test_rejections_are_evidence_and_no_verdict() -> None:
    finding = judge(MongoConnections(used=5, most=100, rejected=7, uptime=60))
    assert finding.status is Status.OK
    assert evidence(finding)["rejected_connections"] == 7


def test_declared_pools_are_summed_over_neighbours() -> None:
    mine = place(max_pool_size=50)
    elsewhere = place(host="other", max_pool_size=1000)
    other = Service(
        name="mail", replicas=2, workers=1, instances=(place(max_pool_size=5), elsewhere)
    )
    service = Service(name="shop", replicas=3, workers=4, instances=(mine,), neighbours=(other,))
    found = judge(MongoConnections(used=1, most=100), mine, service)
    assert evidence(found)["declared_connections"] == 3 * 4 * 50 + 2 * 5


def test_the_next_command_is_one_argument_to_the_shell() -> None:
    finding = judge(MongoConnections(used=100, most=100), place(host="x; reboot"))
    confirm = next(remedy for remedy in finding.remedies if remedy.step is Step.CONFIRM)
    words = shlex.split(confirm.command)
    assert words[:6] == ["mongosh", "--quiet", "--host", "x; reboot", "--port", "27017"]
    assert words[6] == "--eval"
    assert "idleConnections: true" in words[7]
    assert len(words) == 8
