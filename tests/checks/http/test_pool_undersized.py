"""http.pool_undersized: facts in, findings out; and what it explains, in a report."""

from typing import Any

from tests.checks.postgres.builders import (
    instance,
    leaked,
    looks,
    service,
    session,
    slots,
    waiting,
)

from backend_doctor import Confidence, Each, Finding, Looks, Service, Status
from backend_doctor.backends.cors.exchanges import Exchange, Response, Step
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters
from backend_doctor.facts import Absence, AbsenceKind, Fact, Instance
from backend_doctor.judge import judge as report_on
from backend_doctor.model import Report, Target
from backend_doctor.registry import bundled_folder, load_checks, load_file
from backend_doctor.snapshot import Examined, Look, Snapshot, raw

CHECK = load_file(bundled_folder() / "http" / "pool_undersized.py")
ERROR = "sqlalchemy.pool_timeout"
BUSY = {"state": "active", "state_age": 0.02, "query": "SELECT pg_sleep($1)"}
BEFORE = [session(pid, **BUSY, state_us=1) for pid in (1, 2)]
AFTER = [session(pid, **BUSY, state_us=9) for pid in (1, 2)]
TIMED_OUT = Sample(path="/ready", status=500, seconds=0.4, error=ERROR, pool=(2, 0))
WAITED = Sample(path="/ready", status=500, seconds=0.4)
QUICK = Sample(path="/ready", status=200, seconds=0.06)


def judge(
    *samples: Sample,
    database: Any = None,
    used: int = 5,
    declared: int | None = 2,
    clients: Preflights | None = None,
    counted: Looks[Counters] | None = None,
) -> Finding:
    answers = HealthAnswers(url="http://api/ready", path="/ready", declared=True, samples=samples)
    owner = service(pool_size=declared) if declared else service()
    (finding,) = CHECK.function(
        Looks(answers, answers, 5.0) if samples else None,
        Each({"cors": clients} if clients else {}),
        Each({"postgres": database or looks(AFTER, BEFORE)}),
        Each({"postgres": slots(used)}),
        Each({"postgres": counted} if counted else {}),
        owner,
    )
    assert isinstance(finding, Finding)
    return finding


def label(finding: Finding) -> str:
    return finding.cause.label if finding.cause else ""


def test_it_is_named_by_the_answers_and_the_busy_pool() -> None:
    finding = judge(TIMED_OUT, QUICK, QUICK)
    assert (finding.status, label(finding)) == (Status.CRITICAL, "pool.undersized")
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY
    assert {str(subject) for subject in finding.subjects} == {
        "endpoint /ready",
        f"error {ERROR}",
        "application shop-api",
    }
    values = {evidence.key: evidence.value for evidence in finding.evidence}
    assert values == {
        "starved_requests": 2,
        "pool_connections": 2,
        "sessions_of_application": 2,
        "free_slots": 22,
    }


def test_the_remedy_says_how_many_connections_the_work_needs() -> None:
    work = Counters(databases=(DatabaseCounters(name="shop", active_ms=14_940),))
    cure = judge(TIMED_OUT, counted=Looks(Counters(), work, 5.0)).remedies[1]
    assert "2 held, 3.0 busy on average over 5.0 s, 5 are enough at 70% use" in cure.effect
    assert "pool_size=5," in cure.command
    assert "pool_size=3," in judge(TIMED_OUT).remedies[1].command


def test_the_message_itself_tells_the_size() -> None:
    assert label(judge(TIMED_OUT, declared=None)) == "pool.undersized"
    assert label(judge(WAITED, declared=None)) == ""


def test_waiting_alone_is_possible_and_only_where_most_requests_wait() -> None:
    finding = judge(WAITED, WAITED, QUICK)
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.POSSIBLE
    assert judge(WAITED, QUICK, QUICK, QUICK).status is Status.OK
    late = Sample(path="/ready", status=200, seconds=0.4)
    assert judge(late).status is Status.WARNING


def test_the_twin_with_a_small_pool_that_suffices() -> None:
    assert judge(*[QUICK] * 6).status is Status.OK


def test_what_is_another_cause_is_not_called_undersized() -> None:
    stuck = looks([leaked(1), leaked(2)])
    checked_out = looks([session(1), session(2)])
    locked = looks([waiting(2, 1), waiting(3, 1)], [waiting(2, 1), waiting(3, 1)])
    slow = [session(pid, **{**BUSY, "state_age": 4.0}, state_us=7) for pid in (1, 2)]
    for database in (stuck, checked_out, locked, looks(slow, BEFORE), looks(AFTER[:1], BEFORE)):
        finding = judge(TIMED_OUT, database=database)
        assert label(finding) == ""
        assert finding.status is Status.OK
    assert label(judge(TIMED_OUT, used=27)) == ""


def test_waiting_beside_an_idle_pool_is_something_else() -> None:
    before = [session(pid, state_us=1) for pid in (1, 2)]
    assert label(judge(WAITED, database=looks([session(1), session(2)], before))) == ""


def test_blind_is_not_fine() -> None:
    blind = Absence(kind=AbsenceKind.BLIND, reason="role cannot see")
    assert judge(TIMED_OUT, database=blind).status is Status.UNKNOWN
    assert judge(QUICK, database=blind).status is Status.OK
    nothing: Each[Any] = Each({})
    (finding,) = CHECK.function(None, nothing, nothing, nothing, nothing, Service(name="shop"))
    assert finding.status is Status.SKIPPED


def _examined(one: Instance, *facts: tuple[str, Fact, Fact]) -> Examined:
    return Examined(
        instance=one,
        target=Target(
            service="shop",
            backend=one.backend,
            instance=one.name,
            address=one.address,
            server="",
            seconds=1,
            statements=1,
            connections=1,
        ),
        facts={
            name: [Look(at=0.0, value=raw(first)), Look(at=5.0, value=raw(last))]
            for name, first, last in facts
        },
    )


def _web(kind: str) -> Instance:
    return Instance(service="shop", backend=kind, name=kind, address="api:80", host="api", port=80)


def _clients(*samples: Sample) -> Preflights:
    """A declared client whose requests fail without the headers that its preflight has."""
    allowed = Response(status=200, headers={"access-control-allow-origin": "https://shop.example"})
    answers = tuple(
        (Step(url="http://api/api/orders", actual=Response(status=one.status)),) for one in samples
    )
    exchange = Exchange(
        origin="https://shop.example",
        method="GET",
        path="/api/orders",
        preflight=allowed,
        answers=answers,
        samples=samples,
    )
    return Preflights(url="http://api", exchanges=(exchange,), wanted=1)


def _report(error: str, before: list[Any], after: list[Any], size: int = 2) -> Report:
    """Failing health path and failing orders, seen beside these sessions."""
    health = Sample(path="/ready", status=500, seconds=0.4, error=error)
    orders = Sample(path="/api/orders", status=500, seconds=0.4, error=error)
    answers = HealthAnswers(
        url="http://api/ready", path="/ready", declared=True, samples=(health,) * 3
    )
    clients, seen = _clients(orders, orders), looks(after, before)
    backends = [
        _examined(
            instance(pool_size=size),
            ("Slots", slots(3 + size), slots(3 + size)),
            ("Sessions", seen.first, seen.last),
        ),
        _examined(_web("http"), ("HealthAnswers", answers, answers)),
        _examined(_web("cors"), ("Preflights", clients, clients)),
    ]
    owner = Service(name="shop", instances=tuple(one.instance for one in backends))
    snapshot = Snapshot(
        tool_version="0",
        started="2026-11-23T10:00:00Z",
        seconds=6,
        window=5,
        source="test",
        services=[owner],
        backends=backends,
    )
    wanted = {
        "cors.preflight",
        "http.health",
        "http.pool_undersized",
        "postgres.idle_in_transaction",
        "postgres.pool_exhaustion",
    }
    loaded = load_checks(backends={"http", "cors", "postgres"}, plugins=False)
    return report_on(snapshot, [check for name, check in loaded.items() if name in wanted])


def test_one_full_pool_is_the_root_of_500s_and_of_cors_errors() -> None:
    for error in (ERROR, ""):
        report = _report(error, BEFORE, AFTER)
        (root,) = [one for one in report.roots if one.finding.cause]
        assert label(root.finding) == "pool.undersized"
        beneath = {label(one.finding) for one in report.beneath(root)}
        assert beneath == {"http.server_error", "cors.error_masks_5xx"}


def test_without_the_full_pool_the_500_stands_above_the_cors_error_of_the_same_name() -> None:
    idle = [session(9)]
    report = _report("redis.pool_exhausted", idle, idle)
    (root,) = [one for one in report.roots if one.finding.cause]
    assert label(root.finding) == "http.server_error"
    assert [label(one.finding) for one in report.beneath(root)] == ["cors.error_masks_5xx"]
    # nothing is shared: two roots
    apart = _report("", idle, idle)
    assert len([one for one in apart.roots if one.finding.cause]) == 2


def test_a_leak_is_the_root_of_a_full_server_of_500s_and_of_cors_errors() -> None:
    """What the browser calls CORS: a 500, of a pool that is empty, of connections that leak."""
    leak = [leaked(pid) for pid in range(24)]
    report = _report(ERROR, leak, leak, size=24)
    (root,) = [one for one in report.roots if one.finding.cause]
    assert label(root.finding) == "leak.idle_in_transaction"
    beneath = {label(one.finding) for one in report.beneath(root)}
    assert beneath == {"pool.server_full", "http.server_error", "cors.error_masks_5xx"}
    # as many that only idle explain nothing, so that the 500 stands alone above the CORS error
    idle = [session(pid) for pid in range(24)]
    apart = {
        label(one.finding) for one in _report(ERROR, idle, idle, size=24).roots if one.finding.cause
    }
    assert "http.server_error" in apart
    assert "leak.idle_in_transaction" not in apart
