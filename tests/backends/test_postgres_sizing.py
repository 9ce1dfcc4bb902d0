"""How many connections the work needs: arithmetic on two looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checks.postgres.builders import leaked, looks, session, waiting

from backend_doctor import Looks
from backend_doctor.backends.postgres.clients import ClientProcess, ClientProcesses, holders_of
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters
from backend_doctor.backends.postgres.sessions import Session
from backend_doctor.backends.postgres.sizing import connections_needed, work_within


def counted(active: float, in_transaction: float = 0.0, seconds: float = 10.0) -> Looks[Counters]:
    def at(ms: float, idle: float) -> Counters:
        one = DatabaseCounters(name="shop", active_ms=ms, idle_in_transaction_ms=idle)
        return Counters(databases=(one,))

    return Looks(at(5e6, 1e6), at(5e6 + active, 1e6 + in_transaction), seconds)


def running(pid: int, age: float, **fields: object) -> Session:
    return session(pid, state="active", state_age=age, **fields)


@pytest.mark.parametrize(
    ("busy", "needed"), [(0, 1), (0.7, 1), (0.71, 2), (1.3, 2), (1.36, 2), (1.4, 2), (7, 10)]
)
def test_needed_at_seventy_percent(busy: float, needed: int) -> None:
    assert connections_needed(busy) == needed


def test_a_server_that_holds_many_and_needs_two() -> None:
    held = [
        *[leaked(pid) for pid in range(100, 112)],
        *[waiting(pid, 100) for pid in range(200, 203)],
        *[session(pid) for pid in range(300, 312)],
    ]
    work = work_within(counted(13_600), looks(held))
    assert work is not None
    assert (work.held, round(work.busy, 2), work.needed) == (27, 1.36, 2)
    assert work.text == "27 held, 1.4 busy on average over 10.0 s, 2 are enough at 70% use"


def test_what_still_runs_is_added_and_what_ran_before_is_taken_off() -> None:
    ended = looks([session(1)], [running(1, 600.0, state_us=1)])
    work = work_within(counted(604_000), ended)
    assert work is not None
    assert work.running == pytest.approx(0.4)
    lasting = work_within(counted(0), looks([running(1, 900.0), running(2, 5.0)]))
    assert lasting is not None
    assert lasting.running == pytest.approx(1.5)


def test_transactions_that_move_are_work_and_those_that_do_not_are_held() -> None:
    before = [leaked(1, state_us=1, state_age=0.1), leaked(2)]
    after = [leaked(1, state_us=9, state_age=0.2), leaked(2)]
    work = work_within(counted(0, in_transaction=4_900), looks(after, before))
    assert work is not None
    assert work.in_transaction == pytest.approx(0.5)


def test_two_looks_at_one_moment_tell_nothing() -> None:
    assert work_within(counted(1.0, seconds=0.01), looks([session(1)])) is None


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.2, 600))
def test_it_is_never_negative(active: float, age: float, seconds: float) -> None:
    work = work_within(counted(active, seconds=seconds), looks([], [running(1, age)]))
    assert work is not None
    assert work.busy >= 0
    assert work.needed >= 1


def test_holders_are_named_by_their_process_or_their_address() -> None:
    found = [session(1), session(2), session(3), session(4, client="")]
    python = ClientProcess(pid=1, client_pid=7, name="python")
    nameless = ClientProcess(pid=2, client_pid=8)
    assert holders_of(found, ClientProcesses(clients=(python, nameless))) == (
        "python (pid 7) 1, a process (pid 8) 1, 10.0.0.7 1, a unix socket 1"
    )
    assert holders_of(found, None) == "10.0.0.7 3, a unix socket 1"
