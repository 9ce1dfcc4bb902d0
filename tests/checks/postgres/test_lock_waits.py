"""postgres.lock_waits: facts in, findings out."""

import time

import pytest
from tests.checks.postgres.builders import (
    HOSTILE,
    NO_POOLER,
    TAKEN_AT,
    cause,
    evidence,
    heads,
    leaked,
    looks,
    pids,
    run,
    session,
    sessions,
    waiting,
)

from backend_doctor import Finding, Looks, Status, Step, Subject
from backend_doctor.backends.postgres.horizon import Holder, Horizon
from backend_doctor.backends.postgres.locks import jams
from backend_doctor.backends.postgres.sessions import LockWait, Session, Sessions

ORDERS = "public.orders"


def judge(
    found: Looks[Sessions], horizon: Horizon | None = None, **limits: object
) -> list[Finding]:
    return run("lock_waits", found.last, found, horizon, *NO_POOLER, **limits)


def report(**fields: object) -> Session:
    """A long SELECT that holds its weak lock on the table."""
    usual = {
        "application": "report",
        "state": "active",
        "query": "SELECT sum(total) FROM orders",
        "transaction_us": 5,
        "transaction_age": 40.0,
        "locks": 1,
    }
    return session(10, **{**usual, **fields})


def alter(*blockers: int, **fields: object) -> Session:
    usual = {
        "wait": "relation",
        "mode": "AccessExclusiveLock",
        "relation": ORDERS,
        "application": "migration",
        "query": "ALTER TABLE orders ADD COLUMN note text",
    }
    return waiting(11, *blockers, **{**usual, **fields})


def reader(pid: int, *blockers: int, **fields: object) -> Session:
    usual = {
        "wait": "relation",
        "mode": "AccessShareLock",
        "relation": ORDERS,
        "query": "SELECT * FROM orders WHERE id = $1",
    }
    return waiting(pid, *blockers, **{**usual, **fields})


def writers(count: int, head: int, **fields: object) -> list[Session]:
    """A queue for one row: each waiter names the head and all before it."""
    queue = []
    for number in range(count):
        pid = 40 + number
        wait, before = ("tuple", range(40, pid)) if number else ("transactionid", range(0))
        blockers = (*((head,) if not number else ()), *before)
        usual: dict[str, object] = {"wait": wait, "relation": "public.stock", "seconds": 0.1}
        queue.append(waiting(pid, *blockers, **{**usual, **fields}))
    return queue


def turn(pid: int, began: int) -> Session:
    """The writer whose turn it is."""
    query = "UPDATE stock SET left = left - $1 WHERE id = $2"
    return session(pid, state="active", transaction_us=began, query=query)


def test_no_waits_are_fine() -> None:
    (finding,) = judge(looks([session(1), session(2, state="active")]))
    assert (finding.status, finding.measures[0].value) == (Status.OK, 0)


class TestDdlQueue:
    def queue(self) -> list[Session]:
        return [report(), alter(10), *(reader(pid, 11) for pid in range(20, 24))]

    def test_the_head_is_named_not_the_waiting_alter(self) -> None:
        (finding,) = judge(looks(self.queue()))
        assert (finding.status, cause(finding)) == (Status.CRITICAL, "lock.ddl_queue")
        assert "pid 10 of report" in finding.summary
        assert evidence(finding, "head_blocker_pid") == 10
        assert evidence(finding, "waiting_sessions") == 5
        assert evidence(finding, "waiting_ddl_pid") == 11
        assert pids(finding) == {10, 11, 20, 21, 22, 23}
        assert {"pool.blocked_sessions", "query.pileup", "reach.full"} <= set(finding.explains)

    def test_cancelling_the_alter_comes_before_ending_the_head(self) -> None:
        (finding,) = judge(looks(self.queue()))
        cancel, end = [r.command for r in finding.remedies if r.step is Step.STOP]
        assert "pg_cancel_backend" in cancel
        assert "pid IN (11)" in cancel
        assert "pg_terminate_backend" in end
        assert "pid IN (10)" in end
        for command in (cancel, end):
            assert f"backend_start <= '{TAKEN_AT}'" in command
            assert "state IN ('active')" in command
        assert any("lock_timeout" in r.command for r in finding.remedies if r.step is Step.PREVENT)

    def test_a_schema_change_at_work_shuts_readers_out(self) -> None:
        vacuum = report(application="cleaner", query="VACUUM FULL orders")
        (finding,) = judge(looks([vacuum, reader(20, 10), reader(21, 10)]))
        assert (cause(finding), finding.status) == ("lock.ddl_queue", Status.WARNING)

    def test_a_leak_can_be_the_head(self) -> None:
        (finding,) = judge(looks([leaked(10), alter(10), reader(20, 11)]))
        assert cause(finding) == "lock.ddl_queue"
        end = [r.command for r in finding.remedies if r.step is Step.STOP][-1]
        assert "state IN ('idle in transaction')" in end

    def test_the_twin_gets_its_lock_at_once(self) -> None:
        quick = [report(), alter(10, seconds=0.05), reader(20, 11, seconds=0.02)]
        (finding,) = judge(looks(quick))
        assert finding.status is Status.OK
        assert finding.measures[0].value == 2


class TestHotRow:
    def test_a_queue_whose_head_changes(self) -> None:
        first = [turn(30, 1), *writers(6, 30)]
        last = [turn(31, 2), *writers(6, 31)]
        (finding,) = judge(looks(last, first))
        assert (finding.status, cause(finding)) == (Status.CRITICAL, "lock.hot_row")
        assert evidence(finding, "contended_table") == "public.stock"
        assert not any("terminate" in remedy.command for remedy in finding.remedies)
        assert not any(remedy.step is Step.STOP for remedy in finding.remedies)

    def test_the_table_is_told_by_either_look(self) -> None:
        between = [waiting(pid, 31, lock=None) for pid in range(40, 48)]
        found = looks([turn(31, 2), *between], [turn(30, 1), *writers(6, 30)])
        (finding,) = judge(found)
        assert evidence(finding, "waiting_sessions") == 8
        assert evidence(finding, "contended_table") == "public.stock"

    def test_the_same_connection_with_a_new_transaction_has_another_turn(self) -> None:
        found = looks([turn(30, 2), *writers(6, 30)], [turn(30, 1), *writers(6, 30)])
        assert [cause(finding) for finding in judge(found)] == ["lock.hot_row"]

    def test_a_head_that_stays_is_no_hot_row(self) -> None:
        stuck = [turn(30, 1), *writers(6, 30, seconds=20.0)]
        assert [cause(finding) for finding in judge(looks(stuck))] == ["lock.long_transaction"]

    def test_two_writers_are_no_queue(self) -> None:
        found = looks([turn(31, 2), *writers(2, 31)], [turn(30, 1), *writers(2, 30)])
        assert [finding.status for finding in judge(found)] == [Status.OK]

    def test_the_twin_writes_different_rows(self) -> None:
        busy = [turn(pid, pid) for pid in range(40, 60)]
        later = [turn(pid, pid + 100) for pid in range(40, 60)]
        assert [finding.status for finding in judge(looks(later, busy))] == [Status.OK]


class TestIdleHolder:
    def test_a_session_that_does_nothing(self) -> None:
        head = leaked(10, locks=1, has_xid=True, transaction_us=5)
        (finding,) = judge(looks([head, waiting(20, 10)]))
        assert (finding.status, cause(finding)) == (Status.WARNING, "lock.idle_holder")
        assert evidence(finding, "head_blocker_pid") == 10

    def test_a_prepared_transaction_is_named_and_ended_by_its_gid(self) -> None:
        wants = LockWait(type="transactionid", mode="ShareLock", prepared=("gid'1",), seconds=9.0)
        gids = ("gid'1", "another")
        holders = (
            Holder(kind="prepared", name=gid, user="shop", database="shop", seconds=40.0)
            for gid in gids
        )
        (finding,) = judge(looks([waiting(20, 0, lock=wants)]), Horizon(tuple(holders), "shop"))
        assert cause(finding) == "lock.idle_holder"
        assert "behind prepared transaction gid'1," in finding.summary
        assert evidence(finding, "holder_prepared") == "gid'1"
        (release,) = (r.command for r in finding.remedies if r.step is Step.STOP)
        assert release.startswith("ROLLBACK PREPARED 'gid''1';")
        assert Subject(kind="prepared", value="gid'1") in finding.subjects
        assert pids(finding) == {20}

    def test_waiters_for_different_rows_are_no_queue_for_one(self) -> None:
        rows = [
            LockWait(type="transactionid", mode="ShareLock", relation=ORDERS, page=0, line=line)
            for line in range(6)
        ]
        last = [
            leaked(10, transaction_us=2),
            *(waiting(20 + n, 10, lock=rows[n]) for n in range(6)),
        ]
        first = [leaked(10, transaction_us=1), *last[1:]]
        (finding,) = judge(looks(last, first))
        assert finding.status is Status.OK

    def test_a_prepared_transaction_has_no_session_to_end(self) -> None:
        (finding,) = judge(looks([waiting(20, 0)]))
        assert cause(finding) == "lock.idle_holder"
        assert finding.cause is not None
        assert "prepared" in finding.cause.because
        assert not any("terminate" in remedy.command for remedy in finding.remedies)


class TestLongTransaction:
    def test_a_head_at_work(self) -> None:
        (finding,) = judge(looks([report(query="UPDATE orders SET a = $1"), waiting(20, 10)]))
        assert cause(finding) == "lock.long_transaction"

    def test_a_head_between_two_statements_works_and_can_be_ended_all_the_same(self) -> None:
        head = leaked(10, state_age=0.03, transaction_us=5)
        (finding,) = judge(looks([head, waiting(20, 10)]))
        assert cause(finding) == "lock.long_transaction"
        (end,) = (r.command for r in finding.remedies if r.step is Step.STOP)
        assert f"pid = 10 AND backend_start <= '{TAKEN_AT}'" in end
        assert "state IN ('active', 'idle in transaction')" in end
        assert f"xact_start <= '{TAKEN_AT}'" in end
        assert "state_change" not in end

    @pytest.mark.parametrize(("age", "label"), [(0.9, "long_transaction"), (1.0, "idle_holder")])
    def test_from_when_on_it_idles(self, age: float, label: str) -> None:
        head = leaked(10, state_age=age, transaction_us=5)
        (finding,) = judge(looks([head, waiting(20, 10)]))
        assert cause(finding) == f"lock.{label}"

    @pytest.mark.parametrize(
        ("seconds", "status"),
        [(2.9, "ok"), (3.0, "warning"), (29.9, "warning"), (30.0, "critical")],
    )
    def test_thresholds_of_the_wait(self, seconds: float, status: str) -> None:
        (finding,) = judge(looks([report(), waiting(20, 10, seconds=seconds)]))
        assert finding.status is Status(status)

    @pytest.mark.parametrize(("count", "status"), [(4, "warning"), (5, "critical")])
    def test_thresholds_of_the_queue(self, count: int, status: str) -> None:
        queue = [waiting(pid, 10, query=f"q{pid}") for pid in range(20, 20 + count)]
        (finding,) = judge(looks([report(), *queue]))
        assert finding.status is Status(status)

    def test_limits_can_be_set(self) -> None:
        found = looks([report(), waiting(20, 10, seconds=0.5)])
        assert judge(found, warning_seconds=0.4)[0].status is Status.WARNING
        assert judge(found, warning_seconds=0.4, critical_waiters=1)[0].status is Status.CRITICAL
        assert judge(found, warning_seconds=0.1, critical_seconds=0.5)[0].status is Status.CRITICAL


def guarded(pid: int, *blockers: int, **fields: object) -> Session:
    """One that waits for an advisory lock."""
    key = str(fields.pop("key", "0/42/1"))
    lock = LockWait(type="advisory", mode="ExclusiveLock", key=key, seconds=10.0)
    usual = {"wait": "advisory", "lock": lock, "query": "SELECT pg_advisory_lock($1)"}
    return waiting(pid, *blockers, **{**usual, **fields})


class TestAdvisoryLock:
    def queue(self, count: int = 3, **fields: object) -> list[Session]:
        return [guarded(pid, 10, **fields) for pid in range(20, 20 + count)]

    def test_a_session_that_went_back_to_the_pool_with_it(self) -> None:
        head = session(10, application="worker", query="SELECT pg_advisory_lock($1)", locks=1)
        (finding,) = judge(looks([head, *self.queue()]))
        assert (finding.status, cause(finding)) == (Status.WARNING, "lock.advisory")
        assert finding.summary.startswith("3 sessions wait for advisory lock 42 behind pid 10")
        assert evidence(finding, "head_blocker_pid") == 10
        assert evidence(finding, "advisory_key") == "0/42"
        assert evidence(finding, "advisory_level") == "session"
        end = next(r.command for r in finding.remedies if r.step is Step.STOP)
        assert "pid IN (10)" in end
        assert "state IN ('idle')" in end

    @pytest.mark.parametrize(
        ("query", "level"),
        [
            ("SELECT pg_advisory_xact_lock($1)", "transaction"),
            ("select PG_TRY_ADVISORY_LOCK($1)", "session"),
            ("UPDATE stock SET a = $1", "either"),
        ],
    )
    def test_within_a_transaction_its_statement_may_tell(self, query: str, level: str) -> None:
        head = leaked(10, application="worker", query=query, transaction_us=5)
        (finding,) = judge(looks([head, *self.queue()]))
        assert cause(finding) == "lock.advisory"
        assert evidence(finding, "advisory_level") == level

    @pytest.mark.parametrize(
        ("key", "numbers"),
        [
            ("0/42/1", "42"),
            ("1/2/1", "4294967298"),
            ("4294967295/4294967295/1", "-1"),
            ("7/3/2", "7, 3"),
            ("4294967295/0/2", "-1, 0"),
        ],
    )
    def test_keys_read_as_the_application_gave_them(self, key: str, numbers: str) -> None:
        (finding,) = judge(looks([session(10, application="a"), *self.queue(key=key)]))
        assert f"advisory lock {numbers} behind" in finding.summary

    def test_the_twin_is_a_leader_with_its_standbys(self) -> None:
        leader = session(10, application="worker-1")
        standbys = self.queue(2, application="worker-2")
        (finding,) = judge(looks([leader, *standbys]))
        assert finding.status is Status.OK
        assert "standbys" in finding.notes[0]
        others = judge(looks([leader, *self.queue(2, application="shop-api")]))
        assert [cause(one) for one in others] == ["lock.advisory"]
        more = judge(looks([leader, *standbys]), advisory_waiters=2)
        assert [cause(one) for one in more] == ["lock.advisory"]

    @pytest.mark.parametrize(
        ("count", "seconds", "status"),
        [(4, 29.9, "warning"), (3, 30.0, "critical"), (5, 10.0, "critical")],
    )
    def test_its_thresholds_are_those_of_other_locks(
        self, count: int, seconds: float, status: str
    ) -> None:
        lock = LockWait(type="advisory", mode="ExclusiveLock", key="0/42/1", seconds=seconds)
        head = session(10, application="worker")
        (finding,) = judge(looks([head, *self.queue(count, lock=lock)]))
        assert finding.status is Status(status)

    def test_a_few_standbys_may_wait_for_long(self) -> None:
        lock = LockWait(type="advisory", mode="ExclusiveLock", key="0/42/1", seconds=9000.0)
        standbys = self.queue(2, application="worker-2", lock=lock)
        (finding,) = judge(looks([session(10, application="worker-1"), *standbys]))
        assert finding.status is Status.OK


class TestTree:
    def tree(self, found: list[Session]) -> list[str]:
        (jam,) = jams(sessions(found))
        return jam.lines()

    def test_the_root_first_then_waiters_by_depth(self) -> None:
        readers = [reader(pid, 11) for pid in range(20, 26)]
        assert self.tree([report(), alter(10), *readers, waiting(30, 20, seconds=1.0)]) == [
            "pid 10 report (active, 40 s in its transaction)",
            "| SELECT sum(total) FROM orders",
            "  -> migration, 10.0 s (pid 11)",
            "     | AccessExclusive on public.orders: ALTER TABLE orders ADD C...",
            "    -> 6 x shop-api, 10.0 s (pid 20, 21, 22, ...)",
            "       | AccessShare on public.orders: SELECT * FROM orders WHERE...",
            "      -> shop-api, 1.0 s (pid 30)",
            "         | Share on transactionid: UPDATE stock SET left = left -...",
        ]

    def test_it_fits_into_80_columns(self) -> None:
        long = {"application": "a" * 90, "query": "SELECT " + "b" * 900}
        found = [report(**long), *(waiting(pid, 10, **long) for pid in range(20, 30))]
        (finding,) = judge(looks(found))
        lines = [e.text for e in finding.evidence if e.key.startswith("tree_")]
        assert len(lines) == 4
        assert max(map(len, lines)) + 12 <= 80

    def test_many_kinds_of_waiters_are_counted(self) -> None:
        found = [report(), *(waiting(pid, 10, query=f"q{pid}") for pid in range(20, 60))]
        assert self.tree(found)[-1] == "  and 32 more"

    def test_a_queue_for_one_row_is_two_deep(self) -> None:
        lines = self.tree([turn(30, 1), *writers(6, 30)])
        assert [line for line in lines if "-> " in line] == [
            "  -> shop-api, 0.1 s (pid 40)",
            "    -> 5 x shop-api, 0.1 s (pid 41, 42, 43, ...)",
        ]


def test_two_heads_are_two_findings_the_larger_first() -> None:
    found = [report(), waiting(20, 10), leaked(30), waiting(21, 30), waiting(22, 21)]
    findings = judge(looks(found))
    assert [evidence(finding, "head_blocker_pid") for finding in findings] == [30, 10]
    assert [len(finding.measures) for finding in findings] == [1, 0]


def test_a_wait_that_has_just_begun_has_no_time_yet() -> None:
    (finding,) = judge(looks([report(), waiting(20, 10, lock=None)]))
    assert finding.status is Status.OK


def test_hostile_names_reach_no_command() -> None:
    hostile = {"application": HOSTILE, "user": HOSTILE, "query": HOSTILE}
    findings = judge(looks([report(**hostile), alter(10, **hostile)]))
    assert not any("DROP" in r.command for finding in findings for r in finding.remedies)


class TestJams:
    def test_a_waiter_behind_two_heads_stands_behind_both(self) -> None:
        found = sessions([report(), leaked(30), waiting(20, 10, 30), waiting(21, 20)])
        assert heads(jams(found)) == {10: {20, 21}, 30: {20, 21}}

    def test_a_circle_has_no_head(self) -> None:
        assert jams(sessions([waiting(1, 2), waiting(2, 1), waiting(3, 3)])) == []

    def test_a_head_that_is_not_seen_is_a_head(self) -> None:
        (jam,) = jams(sessions([waiting(20, 99)]))
        assert (jam.head_pid, jam.head) == (99, None)

    def test_the_longest_wait_comes_first(self) -> None:
        found = [report(), *(waiting(pid, 10, seconds=float(pid)) for pid in (20, 22, 21))]
        (jam,) = jams(sessions(found))
        assert [waiter.pid for waiter in jam.waiters] == [22, 21, 20]

    def test_a_long_queue_is_read_in_no_time(self) -> None:
        """Each waiter for a row names all before it: 2 ** 400 ways lead to the head."""
        queue = [turn(1, 1), *(waiting(pid, *range(1, pid)) for pid in range(2, 402))]
        began = time.monotonic()
        assert heads(jams(sessions(queue))) == {1: set(range(2, 402))}
        assert time.monotonic() - began < 2


def test_one_look_shows_who_has_waited_long() -> None:
    seen = looks([leaked(11, locks=1), waiting(12, 11, seconds=4.0)]).last
    (finding,) = run("lock_waits", seen, None, None, *NO_POOLER)
    assert cause(finding) == "lock.idle_holder"
