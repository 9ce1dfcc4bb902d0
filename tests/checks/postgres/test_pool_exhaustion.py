"""postgres.pool_exhaustion: facts in, findings out."""

import shlex
from typing import Any

import pytest
from tests.checks.postgres.builders import (
    HOSTILE,
    NO_POOLER,
    cause,
    evidence,
    instance,
    leaked,
    looks,
    pids,
    refused,
    run,
    service,
    session,
    slots,
    waiting,
)

from backend_doctor import Each, Finding, Looks, Service, Status, Subject
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.postgres.clients import ClientProcess, ClientProcesses
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots

SLOW = "SELECT * FROM orders ORDER BY total"


def judge(
    room: Slots,
    found: Looks[Sessions] | None,
    owner: Service | None = None,
    counted: Looks[Counters] | None = None,
    processes: ClientProcesses | None = None,
    pooler: tuple[Each[Clients], Each[Servers]] = NO_POOLER,
    now: Sessions | None = None,
    **limits: object,
) -> Finding:
    owner = owner or service()
    settings = {k: v for k, v in owner.instances[0].settings.items() if isinstance(v, int)}
    seen = (now or (found and found.last), found, counted, processes)
    facts = (room, *seen, *pooler, owner, instance(**settings))
    (finding,) = run("pool_exhaustion", *facts, **limits)
    return finding


def idle(count: int, **fields: Any) -> list[Session]:
    return [session(pid, **fields) for pid in range(100, 100 + count)]


def running(count: int, first: int = 300, **fields: Any) -> list[Session]:
    usual = {"state": "active", "query": SLOW, "state_age": 4.0}
    return [session(pid, **{**usual, **fields}) for pid in range(first, first + count)]


@pytest.mark.parametrize(
    ("used", "status"),
    [(0, "ok"), (21, "ok"), (22, "warning"), (25, "warning"), (26, "critical"), (30, "critical")],
)
def test_thresholds_are_shares_of_the_usable_slots(used: int, status: str) -> None:
    found = judge(slots(used), looks(running(used, query="SELECT $1")))
    assert found.status is Status(status)
    (measure,) = found.measures
    assert (measure.value, measure.warning, measure.critical) == (used, 21.6, 25.6)
    assert measure.maximum == 27


@pytest.mark.parametrize(
    ("used", "status"), [(15, "ok"), (16, "warning"), (18, "warning"), (19, "critical")]
)
def test_exactly_on_a_threshold_is_over_it(used: int, status: str) -> None:
    room = slots(used, max_connections=20, superuser_reserved=0)
    assert judge(room, None).status is Status(status)


def test_both_reserves_count() -> None:
    assert judge(slots(22), None).status is Status.WARNING
    assert judge(slots(22, superuser_reserved=0), None).status is Status.OK
    assert judge(slots(22, superuser_reserved=0, reserved=3), None).status is Status.WARNING


def test_limits_can_be_set() -> None:
    assert judge(slots(14), None, warning=0.5).status is Status.WARNING
    assert judge(slots(14), None, warning=0.1, critical=0.5).status is Status.CRITICAL


class TestOversubscribed:
    def test_idle_pools_that_exceed_the_server(self) -> None:
        owner = service(2, 4, pool_size=5)
        found = judge(slots(27), looks(idle(27)), owner)
        assert (found.status, cause(found)) == (Status.CRITICAL, "fleet.oversubscribed")
        assert found.cause is not None
        assert found.cause.confidence == "certain"
        assert evidence(found, "declared_connections") == 40
        assert "shop 2 x 4 x 5 = 40" in found.notes[0]
        assert any("<= 27" in remedy.command for remedy in found.remedies)
        assert not any("pool_size =" in remedy.command for remedy in found.remedies)

    def test_the_healthy_twin_fits(self) -> None:
        found = judge(slots(25), looks(idle(25)), service(1, 5, pool_size=5))
        assert (found.status, cause(found)) == (Status.OK, "")
        assert "cannot ask for more" in found.summary

    def test_neighbours_count_too(self) -> None:
        other = Service(name="billing", replicas=3, instances=(instance(pool_size=2),))
        owner = service(1, 5, pool_size=5, neighbours=(other,))
        found = judge(slots(25), looks(idle(25)), owner)
        assert cause(found) == "fleet.oversubscribed"
        assert any("<= 21" in remedy.command for remedy in found.remedies)

    def test_a_neighbour_on_another_server_does_not(self) -> None:
        import msgspec

        elsewhere = msgspec.structs.replace(instance(pool_size=9), host="db2")
        other = Service(name="billing", replicas=3, instances=(elsewhere,))
        owner = service(1, 5, pool_size=5, neighbours=(other,))
        assert judge(slots(25), looks(idle(25)), owner).status is Status.OK

    def test_without_a_declaration_it_is_only_likely(self) -> None:
        found = judge(slots(27), looks(idle(27)))
        assert cause(found) == "fleet.oversubscribed"
        assert found.cause is not None
        assert found.cause.confidence == "likely"
        assert evidence(found, "idle_connections") == 27

    def test_declared_and_all_slots_taken_is_never_fine(self) -> None:
        assert judge(slots(27), looks(idle(27)), service(1, 5, pool_size=5)).status is not Status.OK

    def test_unlimited_overflow_counts_the_pool(self) -> None:
        found = judge(slots(27), looks(idle(27)), service(8, pool_size=5, max_overflow=-1))
        assert evidence(found, "declared_connections") == 40

    def test_it_says_how_many_connections_are_enough(self) -> None:
        counted = Looks(
            Counters(), Counters(databases=(DatabaseCounters(name="shop", active_ms=6_800),)), 5.0
        )
        found = judge(slots(27), looks(idle(27)), service(2, 4, pool_size=5), counted)
        assert evidence(found, "busy_connections") == 1.4
        cure = next(remedy for remedy in found.remedies if remedy.step == "cure")
        assert "27 held, 1.4 busy on average over 5.0 s, 2 are enough at 70% use" in cure.effect

    def test_processes_of_this_machine_are_named(self) -> None:
        held = ClientProcesses(
            clients=tuple(
                ClientProcess(pid=pid, client_pid=7, name="gunicorn") for pid in range(100, 120)
            )
        )
        found = judge(slots(27), looks(idle(27)), processes=held)
        told = next(item.text for item in found.evidence if item.key == "client_processes")
        assert told == "held from here: gunicorn (pid 7) 20, 10.0.0.7 7"


class TestPileup:
    def test_one_slow_statement_in_both_looks(self) -> None:
        found = judge(slots(24), looks([*running(20), *idle(4)]))
        assert (found.status, cause(found)) == (Status.WARNING, "query.pileup")
        assert evidence(found, "sessions_in_one_statement") == 20
        words = shlex.split(found.remedies[-1].command)
        assert words == ["backend-doctor", "query", SLOW, "-t", "shop.postgres"]

    @pytest.mark.parametrize("text", ["SELECT", f"SELECT {'a, ' * 200} FROM orders"])
    def test_a_text_that_is_not_whole_is_looked_up_first(self, text: str) -> None:
        found = judge(slots(24), looks([*running(20, query=text), *idle(4)]))
        assert found.remedies[-1].command == ("SELECT query FROM pg_stat_activity WHERE pid = 300;")
        assert pids(found) == {*range(300, 320), *range(100, 104)}

    @pytest.mark.parametrize(
        "found",
        [
            looks([*running(20), *idle(4)], [*running(3), *idle(4)]),
            looks([*running(20, state_age=0.9), *idle(4)]),
            looks([*running(11), *running(11, 400, query="SELECT $1"), *idle(2)]),
        ],
        ids=["not there before", "quick", "two statements"],
    )
    def test_busy_is_not_a_pileup(self, found: Looks[Sessions]) -> None:
        assert cause(judge(slots(24), found)) == "pool.server_full"

    def test_statements_are_the_same_by_their_id(self) -> None:
        several = [
            session(pid, state="active", query=f"SELECT {pid}", query_id="77")
            for pid in range(300, 320)
        ]
        assert cause(judge(slots(24), looks(several))) == "query.pileup"


class TestBlocked:
    def test_sessions_that_wait_for_a_lock(self) -> None:
        blocked = [waiting(pid, 1) for pid in range(200, 212)]
        found = judge(slots(24), looks([*blocked, *idle(12, state="active", query="x")]))
        assert cause(found) == "pool.blocked_sessions"
        assert evidence(found, "sessions_waiting_for_locks") == 12
        assert set(range(200, 212)) <= pids(found)

    def test_less_than_half_is_not_the_reason(self) -> None:
        blocked = [waiting(pid, 1) for pid in range(200, 211)]
        found = judge(slots(24), looks([*blocked, *idle(13, state="active", state_age=0.1)]))
        assert cause(found) == "pool.server_full"


class TestServerFull:
    def test_a_mix_has_no_single_reason(self) -> None:
        mixed = [*idle(8), *[leaked(pid) for pid in range(200, 208)], *running(8, state_age=0.1)]
        found = judge(slots(24), looks(mixed))
        assert cause(found) == "pool.server_full"
        assert found.cause is not None
        assert found.cause.confidence == "possible"
        assert "8 idle in transaction" in evidence(found, "states")

    def test_nothing_seen_of_the_sessions(self) -> None:
        found = judge(slots(27), None)
        assert (found.status, cause(found)) == (Status.CRITICAL, "pool.server_full")
        assert "not seen" in next(e.text for e in found.evidence if e.key == "states")


class TestBlind:
    def test_a_refusal_is_critical_whatever_the_count(self) -> None:
        found = judge(refused(5), None)
        assert found.status is Status.CRITICAL
        assert Subject(kind="login", value="db:5432/shop") in found.subjects
        assert "reach.full" in found.explains

    def test_titles_show_who_idles(self) -> None:
        found = judge(refused(27), looks(idle(27, application=""), from_titles=True))
        assert cause(found) == "fleet.oversubscribed"
        assert "27 of shop@10.0.0.7" in found.evidence[1].text
        assert found.evidence[1].source == "process titles"

    def test_declared_pools_that_fit_do_not_excuse_a_refusal(self) -> None:
        found = judge(refused(25), looks(idle(25), from_titles=True), service(1, 5, pool_size=5))
        assert found.status is Status.CRITICAL

    def test_without_a_refusal_the_login_is_not_a_subject(self) -> None:
        kinds = {subject.kind for subject in judge(slots(27), looks(idle(27))).subjects}
        assert "login" not in kinds


def test_one_look_names_the_sessions_that_take_the_slots() -> None:
    stuck = [leaked(number) for number in range(26)]
    finding = judge(slots(26), None, now=Sessions(sessions=tuple(stuck), taken_at="now"))
    assert cause(finding) == "pool.server_full"
    assert pids(finding) == {one.pid for one in stuck}
    assert evidence(finding, "states") == "26 idle in transaction"
    slow = tuple(running(26))
    finding = judge(slots(26), None, now=Sessions(sessions=slow, taken_at="now"))
    assert cause(finding) == "query.pileup"
    assert not any("first look" in one.text for one in finding.evidence)


def test_hostile_names_reach_no_command() -> None:
    found = judge(slots(27), looks(idle(27, application=HOSTILE, user=HOSTILE)))
    assert not any("DROP" in remedy.command for remedy in found.remedies)
