"""postgres.deadlocks: facts in, findings out, and counted by real servers."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from tests.checks.postgres.builders import WINDOW, cause, evidence, looks, pids, run, waiting
from tests.conftest import POSTGRES

from backend_doctor import Finding, Looks, Status
from backend_doctor.backends.postgres.connection import connect
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters
from backend_doctor.backends.postgres.locks import circles
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer


def counters(found: int, *, other: int = 0) -> Looks[Counters]:
    def at(shop: int, ledger: int) -> Counters:
        named = (("shop", shop), ("ledger", ledger))
        return Counters(
            databases=tuple(DatabaseCounters(name=n, deadlocks=d, rollbacks=d) for n, d in named)
        )

    return Looks(at(70, 3), at(70 + found, 3 + other), WINDOW)


def judge(
    counted: Looks[Counters], seen: Looks[Sessions] | None = None, **limits: float
) -> Finding:
    (finding,) = run("deadlocks", counted, seen, **limits)
    return finding


@pytest.mark.parametrize(
    ("found", "status"), [(0, "ok"), (1, "warning"), (4, "warning"), (5, "critical")]
)
def test_any_within_the_window_counts(found: int, status: str) -> None:
    finding = judge(counters(found))
    assert finding.status is Status(status)
    assert finding.measures[0].value == found / WINDOW
    assert cause(finding) == ("lock.deadlocks" if found else "")


def test_the_count_before_the_window_does_not() -> None:
    finding = judge(counters(2, other=1))
    assert evidence(finding, "deadlocks") == 3
    assert "2 in database shop, 1 in database ledger" in finding.evidence[0].text
    assert "73" not in finding.evidence[0].text


def test_a_circle_that_a_look_caught_names_who() -> None:
    ring = [waiting(11, 12, application="billing"), waiting(12, 13), waiting(13, 11)]
    seen = looks([], [*ring, waiting(20, 11), waiting(21, 99)])
    finding = judge(counters(1), seen)
    assert evidence(finding, "circle_pids") == (11, 12, 13)
    assert pids(finding) == {11, 12, 13}
    assert {one.value for one in finding.subjects if one.kind == "application"} == {
        "billing",
        "shop-api",
    }


def test_nobody_is_named_who_merely_waits() -> None:
    finding = judge(counters(1), looks([waiting(20, 11), waiting(21, 20)]))
    assert not pids(finding)
    assert not any("terminate" in remedy.command for remedy in finding.remedies)


def test_a_long_queue_is_no_circle() -> None:
    queue = [waiting(pid, *range(1, pid)) for pid in range(2, 402)]
    assert circles(looks(queue).last) == ()


def test_limits_can_be_set() -> None:
    assert judge(counters(1), critical_per_second=0.2).status is Status.CRITICAL


@pytest.fixture(params=[15, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    settings = {"deadlock_timeout": "300ms"}
    with PostgresServer(POSTGRES[request.param](), settings=settings) as running:
        yield running


async def _seen_around_a_deadlock(url: str) -> tuple[Looks[Counters], Looks[Sessions]]:
    one, two = await asyncpg.connect(url), await asyncpg.connect(url)
    await one.execute("CREATE TABLE stock AS SELECT id FROM generate_series(1, 2) AS id")
    login, db = await connect(parse_url(url, place="test"), limit=5)
    assert db is not None
    slots = await Slots.collect(db, None, login)
    first = await Counters.collect(db, slots)
    for connection, row in ((one, 1), (two, 2)):
        await connection.execute(f"BEGIN; UPDATE stock SET id = id WHERE id = {row}")
    tries = asyncio.gather(
        one.execute("UPDATE stock SET id = id WHERE id = 2"),
        two.execute("UPDATE stock SET id = id WHERE id = 1"),
        return_exceptions=True,
    )
    await asyncio.sleep(0.1)
    caught = await Sessions.collect(db, slots, None)
    assert any(isinstance(one, asyncpg.DeadlockDetectedError) for one in await tries)
    for connection in (one, two):
        # a session tells what it counted once a second while it works, and at its end
        await connection.close()
    await asyncio.sleep(0.3)
    last = await Counters.collect(db, slots)
    after = await Sessions.collect(db, slots, None)
    await db.close()
    return Looks(first, last, 2.0), Looks(caught, after, 2.0)


def test_a_real_deadlock_is_counted_and_its_circle_seen(server: PostgresServer) -> None:
    counted, seen = asyncio.run(_seen_around_a_deadlock(server.admin_url()))
    finding = judge(counted, seen)
    assert (finding.status, evidence(finding, "deadlocks")) == (Status.WARNING, 1)
    assert len(pids(finding)) == 2
