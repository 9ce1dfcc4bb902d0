"""redis.clients: facts in, findings out."""

from collections.abc import Callable
from typing import Any

import pytest

from backend_doctor import Confidence, Finding, Instance, Looks, Service, Status, Step, Subject
from backend_doctor.backends.redis.clients import ClientGroup, Clients
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.redis.peers import Peer, SocketPeers
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "redis" / "clients.py")
WINDOW = 5.0


def _instance(**settings: int) -> Instance:
    return Instance(
        service="shop",
        backend="redis",
        name="redis",
        address="cache:6379/0",
        host="cache",
        port=6379,
        settings=dict(settings),
    )


def _group(name: str, count: int, idle: int, *, age: int = 300, **more: Any) -> ClientGroup:
    start = more.pop("start", 1)
    return ClientGroup(
        name=name,
        library="redis-py",
        user="default",
        host=more.pop("host", "10.0.0.7"),
        ids=tuple(range(start, start + count)),
        idles=(idle,) * count,
        ages=(age,) * count,
        commands=("get",),
        **more,
    )


def _limits(used: int, most: int | None = 60, rejections: int = 0) -> ClientLimits:
    return ClientLimits(used=used, maxclients=most, rejections=rejections, run_id="a")


def _judge(
    used: int = 0,
    groups: tuple[ClientGroup, ...] | None = (),
    *,
    earlier: tuple[ClientGroup, ...] | None = None,
    most: int | None = 60,
    refused: int = 0,
    limits: ClientLimits | None = None,
    peers: SocketPeers | None = None,
    service: Service | None = None,
    instance: Instance | None = None,
    looks: bool = True,
) -> Finding:
    last = limits or _limits(used, most, 3 + refused)
    first = limits or _limits(used, most, 3)
    listed = None if groups is None else Clients(groups=groups)
    before = Clients(groups=earlier) if earlier is not None else listed
    function: Callable[..., Any] = CHECK.function
    (finding,) = function(
        last,
        Looks(first, last, WINDOW) if looks else None,
        listed,
        Looks(before, listed, WINDOW) if looks and listed and before else None,
        peers,
        service or Service(name="shop"),
        instance or _instance(),
    )
    assert isinstance(finding, Finding)
    return finding


def _evidence(finding: Finding) -> dict[str, Any]:
    return {evidence.key: evidence.value for evidence in finding.evidence}


def test_a_leak_is_named_with_its_holder() -> None:
    leak = _group("leaky-svc", 48, idle=90, age=91)
    workers = _group("worker", 5, idle=0, start=100)
    finding = _judge(57, (workers, leak))
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert (finding.cause.label, finding.cause.confidence) == (
        "redis.maxclients",
        Confidence.CERTAIN,
    )
    assert "leaky-svc" in finding.summary
    assert "leaky-svc" in finding.cause.because
    assert Subject(kind="application", value="leaky-svc") in finding.subjects
    assert _evidence(finding)["clients_of_holder"] == 48
    assert _evidence(finding)["idle_clients_of_holder"] == 48
    assert "48 were never used" in " ".join(e.text for e in finding.evidence)


def test_a_leak_over_several_hosts_is_one_leak() -> None:
    groups = tuple(
        _group("leaky-svc", 12, idle=90, host=f"10.0.0.{n}", start=100 * n) for n in range(1, 5)
    )
    finding = _judge(53, groups)
    assert _evidence(finding)["clients_of_holder"] == 48
    assert "10.0.0.4 (12)" in " ".join(e.text for e in finding.evidence)


def test_unnamed_clients_are_told_apart_by_library_and_host() -> None:
    groups = (_group("", 45, idle=90), _group("", 8, idle=90, host="10.0.0.8", start=100))
    finding = _judge(53, groups)
    assert "unnamed redis-py at 10.0.0.7" in finding.summary


def test_a_fresh_leak_is_seen_by_two_looks() -> None:
    first = (_group("leaky-svc", 55, idle=1, age=2),)
    last = (_group("leaky-svc", 55, idle=6, age=7),)
    assert "neither uses nor closes" in _because(_judge(57, last, earlier=first))


def test_clients_that_came_or_worked_within_the_window_are_no_leak() -> None:
    last = (_group("busy-svc", 55, idle=2, age=300),)
    assert "neither uses nor closes" not in _because(_judge(57, last))
    newcomers = (_group("busy-svc", 55, idle=6, age=6, start=500),)
    assert "neither uses nor closes" not in _because(_judge(57, newcomers, earlier=last))


def test_subscribers_and_blocked_clients_are_no_leak() -> None:
    subscribers = _group("stream", 5, idle=900, waiting=50)
    finding = _judge(56, (subscribers,))
    assert finding.status is Status.WARNING
    assert "neither uses nor closes" not in _because(finding)
    assert not any(remedy.step is Step.STOP for remedy in finding.remedies)


def test_one_look_asks_for_a_minute() -> None:
    assert "neither uses" not in _because(_judge(57, (_group("svc", 55, idle=30),), looks=False))
    assert "neither uses" in _because(_judge(57, (_group("svc", 55, idle=60),), looks=False))


@pytest.mark.parametrize(
    ("used", "most", "refused", "status"),
    [
        (200, 10_000, 0, Status.OK),
        (47, 60, 0, Status.OK),
        (48, 60, 0, Status.WARNING),
        (56, 60, 0, Status.WARNING),
        (57, 60, 0, Status.CRITICAL),
        (30, 60, 2, Status.CRITICAL),
        (200, None, 0, Status.OK),
        (200, None, 1, Status.CRITICAL),
    ],
)
def test_status(used: int, most: int | None, refused: int, status: Status) -> None:
    assert (
        _judge(used, (_group("svc", used, idle=90),), most=most, refused=refused).status is status
    )


def test_the_healthy_twin_has_idle_clients_too() -> None:
    finding = _judge(200, (_group("svc", 200, idle=900),), most=10_000)
    assert finding.status is Status.OK
    assert finding.cause is None
    assert not finding.remedies


def test_refusals_are_counted_in_the_window_only() -> None:
    finding = _judge(20, (), refused=2)
    assert _evidence(finding)["refused_clients"] == 2
    assert _judge(20, (), refused=0).status is Status.OK
    assert _evidence(_judge(50, (), refused=0))["refused_clients"] == 0


def test_refused_ourselves_with_a_socket_table() -> None:
    peers = SocketPeers(
        peers=(
            Peer(connections=18, host="127.0.0.1", process="uvicorn", pid=77),
            Peer(connections=2, host="10.0.0.9"),
        )
    )
    finding = _judge(limits=ClientLimits(used=20, refused=True), groups=None, peers=peers)
    assert finding.status is Status.CRITICAL
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.CERTAIN
    assert "reach.full" in finding.explains
    assert Subject(kind="login", value="cache:6379/0") in finding.subjects
    assert "uvicorn (pid 77)" in finding.remedies[0].command
    texts = " ".join(evidence.text for evidence in finding.evidence)
    assert "18 of 20 connections are from uvicorn (pid 77)" in texts
    assert "2 of 20 connections are from clients at 10.0.0.9" in texts


def test_refused_ourselves_and_blind() -> None:
    finding = _judge(limits=ClientLimits(used=None, refused=True), groups=None)
    assert finding.status is Status.CRITICAL
    assert not finding.measures
    assert finding.cause is not None
    assert "cannot be seen" in finding.cause.because
    assert finding.remedies[0].step is Step.STOP


def test_full_without_the_right_to_list_clients() -> None:
    finding = _judge(58, None, instance=_instance())
    assert finding.status is Status.CRITICAL
    assert any("ACL SETUSER default" in remedy.command for remedy in finding.remedies)


def test_declared_pools_are_summed_over_neighbours() -> None:
    mine = _instance(max_connections=10)
    other = Service(name="mail", replicas=2, workers=1, instances=(_instance(max_connections=5),))
    service = Service(name="shop", replicas=3, workers=4, instances=(mine,), neighbours=(other,))
    for used in (10, 58):
        finding = _judge(used, (), service=service, instance=mine)
        assert _evidence(finding)["declared_connections"] == 3 * 4 * 10 + 2 * 1 * 5


def test_remedies_come_in_the_order_of_an_incident() -> None:
    finding = _judge(57, (_group("leaky-svc", 48, idle=90),))
    order = list(Step)
    steps = [order.index(remedy.step) for remedy in finding.remedies]
    assert steps == sorted(steps)
    assert steps[0] == order.index(Step.STOP)


def test_a_hostile_client_name_stays_an_argument() -> None:
    finding = _judge(57, (_group("x';reboot;'", 55, idle=90),))
    confirm = next(remedy for remedy in finding.remedies if remedy.step is Step.CONFIRM)
    assert """' name=x'"'"';reboot;'"'"' '""" in confirm.command
    stop = next(remedy for remedy in finding.remedies if remedy.step is Step.STOP)
    assert "reboot" not in stop.command


def _because(finding: Finding) -> str:
    assert finding.cause is not None
    return finding.cause.because
