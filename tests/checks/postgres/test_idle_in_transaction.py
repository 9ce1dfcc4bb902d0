"""postgres.idle_in_transaction: facts in, findings out."""

import asyncio
from typing import Any

import asyncpg
import pytest
from tests.checks.postgres.builders import (
    HOSTILE,
    NO_FACE,
    NO_POOLER,
    TAKEN_AT,
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

from backend_doctor import Confidence, Each, Finding, Looks, Service, Status, Step
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.postgres.clients import ClientProcess, ClientProcesses
from backend_doctor.backends.postgres.processes import ServerProcess, ServerProcesses
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.demo.servers import PostgresServer

LEAK = "leak.idle_in_transaction"


def judge(
    found: Looks[Sessions],
    room: Slots | None = None,
    owner: Service | None = None,
    pooler: tuple[Each[Clients], Each[Servers]] = NO_POOLER,
    faces: Each[HealthAnswers] = NO_FACE,
    processes: ClientProcesses | None = None,
    **limits: object,
) -> list[Finding]:
    owner = owner or service()
    settings = {k: v for k, v in owner.instances[0].settings.items() if isinstance(v, int)}
    room = room or slots(len(found.last.clients))
    facts = (found.last, found, room, *pooler, faces, processes, owner, instance(**settings))
    return run("idle_in_transaction", *facts, **limits)


def stop(finding: Finding) -> str:
    return next(r.command for r in finding.remedies if r.step is Step.STOP)


def test_three_stuck_sessions_of_one_application_are_a_leak() -> None:
    stuck = [leaked(pid) for pid in (11, 12, 13)]
    (finding,) = judge(looks([*stuck, session(20)]))
    assert (finding.status, cause(finding)) == (Status.WARNING, LEAK)
    assert pids(finding) == {11, 12, 13}
    assert evidence(finding, "sessions_idle_in_transaction") == 3
    assert evidence(finding, "application") == "shop-api"
    assert {"reach.full", "pool.server_full", "lock.idle_holder"} <= set(finding.explains)


def test_two_are_not() -> None:
    (finding,) = judge(looks([leaked(11), leaked(12)]))
    assert (finding.status, cause(finding)) == (Status.OK, "")
    assert finding.measures[0].value == 2


@pytest.mark.parametrize(
    "earlier",
    [
        [],
        [leaked(pid, state_us=1) for pid in (11, 12, 13)],
        [leaked(pid, started_us=1) for pid in (11, 12, 13)],
        [session(pid, state="active") for pid in (11, 12, 13)],
    ],
    ids=["not there before", "worked in between", "pid used again", "was active"],
)
def test_sessions_that_turn_over_are_healthy(earlier: list[Session]) -> None:
    (finding,) = judge(looks([leaked(pid) for pid in (11, 12, 13)], earlier))
    assert finding.status is Status.OK


@pytest.mark.parametrize(("age", "status"), [(3.9, Status.OK), (4.0, Status.WARNING)])
def test_the_age_of_the_state_counts(age: float, status: Status) -> None:
    (finding,) = judge(looks([leaked(pid, state_age=age) for pid in (11, 12, 13)]))
    assert finding.status is status


def test_a_dump_may_idle() -> None:
    (finding,) = judge(looks([leaked(pid, application="pg_dump") for pid in (11, 12, 13)]))
    assert finding.status is Status.OK


def test_each_application_and_role_is_a_leak_of_its_own() -> None:
    found = [leaked(pid) for pid in range(11, 15)]
    found += [leaked(pid, application="billing") for pid in range(21, 24)]
    found += [leaked(pid, user="other") for pid in (31, 32)]
    findings = judge(looks(found))
    assert [pids(finding) for finding in findings] == [{11, 12, 13, 14}, {21, 22, 23}]
    assert sum(len(finding.measures) for finding in findings) == 1


def test_a_leak_that_others_wait_for_is_critical() -> None:
    leak = [leaked(11, locks=2), leaked(14), leaked(15)]
    (finding,) = judge(looks([*leak, waiting(12, 11), waiting(13, 12)]))
    assert (finding.status, pids(finding)) == (Status.CRITICAL, {11, 14, 15})
    assert "2 sessions wait" in finding.summary
    assert evidence(finding, "sessions_holding_locks") == 1


def test_one_session_that_others_wait_for_is_no_leak_but_a_lock() -> None:
    (finding,) = judge(looks([leaked(11, locks=2), waiting(12, 11), waiting(13, 12)]))
    assert finding.status is Status.OK


def test_numbered_processes_of_one_application_leak_together() -> None:
    found = [leaked(pid, application=f"web-{pid}") for pid in (11, 12, 13, 14)]
    (finding,) = judge(looks(found))
    assert pids(finding) == {11, 12, 13, 14}
    assert "web-11, web-12, web-13 and 1 more" in finding.summary


def test_one_processes_whole_pool_is_enough_and_critical() -> None:
    found = looks([leaked(11), leaked(12)])
    owner = service(pool_size=1, max_overflow=1)
    assert judge(found, owner=owner)[0].status is Status.CRITICAL
    roomy = service(pool_size=2, max_overflow=1)
    assert judge(found, owner=roomy)[0].status is Status.OK


@pytest.mark.parametrize(("age", "status"), [(299, Status.WARNING), (300, Status.CRITICAL)])
def test_an_old_leak_is_critical(age: float, status: Status) -> None:
    (finding,) = judge(looks([leaked(pid, state_age=float(age)) for pid in (11, 12, 13)]))
    assert finding.status is status


@pytest.mark.parametrize(("used", "status"), [(21, Status.WARNING), (22, Status.CRITICAL)])
def test_a_nearly_full_server_makes_it_critical(used: int, status: Status) -> None:
    (finding,) = judge(looks([leaked(pid) for pid in (11, 12, 13)]), slots(used))
    assert finding.status is status


def test_limits_can_be_set() -> None:
    found = looks([leaked(pid, state_age=3.0) for pid in (11, 12)])
    (finding,) = judge(found, leaked_sessions=2, idle_seconds=3.0, critical_seconds=3.0)
    assert finding.status is Status.CRITICAL


def test_an_aborted_transaction_counts_and_is_ended_as_such() -> None:
    state = "idle in transaction (aborted)"
    (finding,) = judge(looks([leaked(pid, state=state) for pid in (11, 12, 13)]))
    assert cause(finding) == LEAK
    assert f"state IN ('{state}')" in stop(finding)


def test_ending_is_tied_to_pid_start_and_state() -> None:
    (finding,) = judge(looks([*(leaked(pid) for pid in (11, 12, 13)), session(20)]))
    command = stop(finding)
    assert "pid IN (11, 12, 13)" in command
    for condition in (
        f"backend_start <= '{TAKEN_AT}'",
        "state IN ('idle in transaction')",
        f"state_change <= '{TAKEN_AT}'",
    ):
        assert condition in command
    assert [r.changes_state for r in finding.remedies if r.step is Step.STOP] == [True]
    assert [r.step for r in finding.remedies] == sorted(
        (r.step for r in finding.remedies), key=list(Step).index
    )


async def prepare(url: str, commands: list[str]) -> None:
    connection = await asyncpg.connect(url, timeout=10, statement_cache_size=0)
    try:
        for command in commands:
            await connection.prepare(command)
    finally:
        await connection.close()


def test_hostile_names_stay_names(postgres18: PostgresServer) -> None:
    found = [leaked(pid, user=HOSTILE, application=HOSTILE) for pid in (11, 12, 13)]
    (finding,) = judge(looks(found))
    commands = [r.command for r in finding.remedies if r.language == "sql"]
    assert any('ALTER ROLE "x\'); DROP TABLE ""users""; --\\" SET' in c for c in commands)
    # the server parses a single statement only: whatever escaped its quotes would be a second
    asyncio.run(prepare(postgres18.admin_url(), commands))


def process(pid: int, activity: str) -> ServerProcess:
    return ServerProcess(
        pid=pid,
        parent=1,
        user="shop",
        database="shop",
        client="10.0.0.7",
        port=40_000 + pid,
        activity=activity,
        started=1_700_000_000.0,
        age=60.0,
        cpu=0.01,
    )


def test_blind_the_leak_is_still_named(postgres18: PostgresServer) -> None:
    processes = [process(pid, "idle in transaction") for pid in range(11, 38)]
    seen = ServerProcesses(processes=tuple(processes))
    look = asyncio.run(Sessions.collect(None, refused(27), seen))
    (finding,) = judge(Looks(look, look, 5.0), refused(27))
    assert (finding.status, cause(finding)) == (Status.CRITICAL, LEAK)
    assert "shop@10.0.0.7" in finding.summary
    assert "login" in {subject.kind for subject in finding.subjects}
    sources = {item.source for item in finding.evidence}
    assert sources == {"process titles"}
    keys = {item.key for item in finding.evidence}
    assert keys == {"sessions_idle_in_transaction", "used_slots"}
    server = postgres18.admin_url()
    asyncio.run(prepare(server, [r.command for r in finding.remedies if r.language == "sql"]))
    assert asyncio.run(count(server, stop(finding))) == 0


async def count(url: str, command: str) -> int:
    connection = await asyncpg.connect(url, timeout=10, statement_cache_size=0)
    try:
        return len(await connection.fetch(command))
    finally:
        await connection.close()


def test_blind_sessions_that_worked_in_between_are_healthy() -> None:
    first = asyncio.run(Sessions.collect(None, refused(3), ServerProcesses(processes=())))
    assert first.sessions == ()
    idle = [leaked(pid, state_age=None, state_us=10_000) for pid in (11, 12, 13)]
    busy = [leaked(pid, state_age=None, state_us=20_000) for pid in (11, 12, 13)]
    (finding,) = judge(looks(busy, idle, from_titles=True), refused(3))
    assert finding.status is Status.OK


@pytest.mark.parametrize(("age", "status"), [(29.0, Status.OK), (30.0, Status.WARNING)])
def test_one_look_asks_for_older_sessions(age: float, status: Status) -> None:
    seen = looks([leaked(pid, state_age=age) for pid in (11, 12, 13)]).last
    facts: tuple[object, ...] = (seen, None, slots(3), *NO_POOLER, NO_FACE, None)
    (finding,) = run("idle_in_transaction", *facts, service(), instance())
    assert finding.status is status
    assert "looks" not in "".join(entry.text for entry in finding.evidence)


def test_what_waits_for_another_service_is_no_leak() -> None:
    before = [
        leaked(pid, transaction_us=pid, state_age=age) for pid, age in enumerate((3, 4, 5, 6))
    ]
    after = [
        leaked(pid, transaction_us=pid, state_age=age + 5.0) for pid, age in enumerate((3, 4, 5))
    ]
    turned = leaked(3, transaction_us=900, state_us=901, state_age=2.0)
    (finding,) = judge(looks([*after, turned], before))
    assert finding.status is Status.OK
    stuck = [leaked(pid, transaction_us=pid, state_age=60.0) for pid in range(3)]
    (finding,) = judge(looks([*stuck, turned], [*stuck, *before[3:]]))
    assert (cause(finding), pids(finding)) == (LEAK, {0, 1, 2})


@pytest.mark.parametrize(
    ("age", "apart", "problem", "said"),
    [
        (9.0, 0.01, "no answer within 4 s", True),
        (31.0, 0.01, "no answer within 4 s", False),
        (9.0, 1.0, "no answer within 4 s", False),
        (9.0, 0.01, "", False),
    ],
    ids=["may wait for the pool", "old", "one after the other", "requests are answered"],
)
def test_what_may_wait_for_its_own_pool_is_less_sure(
    age: float, apart: float, problem: str, said: bool
) -> None:
    stuck = [leaked(pid, state_age=age, state_us=int(1e9 + pid * apart * 1e6)) for pid in (1, 2, 3)]
    asked = Sample(path="/ready", status=0 if problem else 200, seconds=4.0, problem=problem)
    answers = HealthAnswers(url="http://api", path="/ready", declared=True, samples=(asked,))
    alone = ClientProcesses(
        clients=tuple(ClientProcess(pid=pid, client_pid=7) for pid in (1, 2, 3))
    )
    (finding,) = judge(looks(stuck), faces=Each({"http": answers}), processes=alone)
    assert finding.cause is not None
    assert finding.cause.confidence is (Confidence.POSSIBLE if said else Confidence.LIKELY)
    assert ["second connection" in note for note in finding.notes] == [True] * said


@pytest.mark.parametrize(
    ("fields", "connections", "client", "said"),
    [
        ({"state_age": 59.0}, None, "", True),
        ({"state_age": 60.0}, None, "", False),
        ({"state_age": 9.0, "state": "idle in transaction (aborted)"}, None, "", False),
        ({"state_age": 9.0}, 3, "python", True),
        ({"state_age": 9.0}, 2, "python", False),
        ({"state_age": 9.0}, 0, "pgbouncer", True),
    ],
    ids=["young", "too old", "failed", "one call each", "fewer", "a pooler's own"],
)
def test_what_may_wait_for_a_long_call_is_less_sure(
    fields: dict[str, Any], connections: int | None, client: str, said: bool
) -> None:
    """Nothing moves within the window where a call outlasts it."""
    clients = [
        ClientProcess(pid=pid, client_pid=7, name=client, elsewhere="[::1]:9", connections=count)
        for pid in (1, 2, 3)
        if (count := connections) is not None
    ]
    held = ClientProcesses(clients=tuple(clients)) if clients else None
    (finding,) = judge(looks([leaked(pid, **fields) for pid in (1, 2, 3)]), processes=held)
    assert (finding.status, cause(finding)) == (Status.WARNING, LEAK)
    assert finding.cause is not None
    assert finding.cause.confidence is (Confidence.POSSIBLE if said else Confidence.LIKELY)
    assert ["--window 60" in note for note in finding.notes] == [True] * said
    told = [item.text for item in finding.evidence if item.key == "connections_elsewhere"]
    assert bool(told) is (client == "python")
    assert all(f"at most {connections} to one place, [::1]:9" in text for text in told)
