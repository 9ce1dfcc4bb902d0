"""How a command ends: only what would keep the interpreter from ending is cut short."""

import threading
from collections.abc import Iterator

import pytest

from backend_doctor.cli import options


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(options, "leave", codes.append)
    return codes


@pytest.fixture(params=[True, False], ids=["daemon", "not a daemon"])
def busy(request: pytest.FixtureRequest) -> Iterator[threading.Thread]:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, daemon=request.param)
    thread.start()
    yield thread
    over.set()
    thread.join()


def test_only_a_thread_that_holds_up_the_end_is_left_behind(
    busy: threading.Thread, left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a test runner may have threads of its own
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread(), busy])
    options.leave_stuck_threads(2)
    assert left == ([] if busy.daemon else [2])


@pytest.mark.parametrize("code", [0, 3, 130, 143])
def test_after_a_signal_nothing_is_torn_down(
    code: int, left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread()])
    options.leave_stuck_threads(code)
    assert left == ([code] if code > 128 else [])
