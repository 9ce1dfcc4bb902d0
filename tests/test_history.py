"""What is kept between runs: private, capped, and never a reason to fail."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from backend_doctor.history import MAX_AGE, History, HistoryError, state_folder

NOW = 1.7e9


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "state" / "backend-doctor" / "history.sqlite3")


def test_what_is_kept_comes_back_in_times_order(history: History) -> None:
    history.add("a", [(NOW + 2, {"rss": 3}), (NOW, {"rss": 1}), (NOW + 1, {"rss": 2})])
    history.add("b", [(NOW, {"rss": 9})])
    assert history.read("a") == [(NOW + i, {"rss": i + 1}) for i in range(3)]
    assert history.read("a", since=NOW + 1, until=NOW + 2) == [(NOW + 1, {"rss": 2})]
    assert history.read("nothing") == []


def test_a_moment_is_kept_once(history: History) -> None:
    history.add("a", [(NOW, {"rss": 1})])
    history.add("a", [(NOW, {"rss": 2})])
    assert history.read("a") == [(NOW, {"rss": 2})]


def test_only_the_owner_can_read_it(history: History) -> None:
    before = os.umask(0)
    try:
        history.add("a", [(NOW, {})])
    finally:
        os.umask(before)
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.path.parent.stat().st_mode) == 0o700


def test_an_open_file_is_closed_to_others(history: History) -> None:
    history.add("a", [(NOW, {})])
    history.path.chmod(0o644)
    history.path.parent.chmod(0o755)
    history.add("a", [(NOW + 1, {})])
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.path.parent.stat().st_mode) == 0o700


def test_what_is_old_goes(history: History) -> None:
    history.add("a", [(NOW - MAX_AGE - 1, {}), (NOW - MAX_AGE + 1, {}), (NOW, {})])
    assert [at for at, _ in history.read("a")] == [NOW - MAX_AGE + 1, NOW]


def test_the_number_of_rows_is_capped(history: History) -> None:
    small = History(history.path, max_rows=10)
    for series in ("a", "b"):
        small.add(series, [(NOW + i * 2 + (series == "b"), {}) for i in range(20)])
    kept = small.read("a") + small.read("b")
    assert len(kept) == 10
    assert min(at for at, _ in kept) == NOW + 30


def test_nothing_is_made_by_reading(history: History) -> None:
    assert history.read("a") == []
    assert not history.path.parent.exists()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"\x00" * 4096])
def test_a_damaged_file_is_told(history: History, content: bytes) -> None:
    history.add("a", [(NOW, {})])
    history.path.write_bytes(content)
    for use in (lambda: history.read("a"), lambda: history.add("a", [(NOW, {})])):
        with pytest.raises(HistoryError) as caught:
            use()
        assert str(history.path) in str(caught.value)
        assert "Delete that file" in str(caught.value)


def test_damaged_content_is_told(history: History) -> None:
    history.add("a", [(NOW, {})])
    with sqlite3.connect(history.path) as database:
        database.execute("UPDATE samples SET value = '{broken'")
    with pytest.raises(HistoryError, match="damaged"):
        history.read("a")


def test_a_link_is_not_followed(history: History, tmp_path: Path) -> None:
    history.path.parent.mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_text("kept")
    history.path.symlink_to(target)
    with pytest.raises(HistoryError):
        history.add("a", [(NOW, {})])
    assert target.read_text() == "kept"


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(HistoryError):
        History(tmp_path / "state" / "history.sqlite3").add("a", [(NOW, {})])
    with pytest.raises(HistoryError):
        History(tmp_path / "state" / "history.sqlite3").read("a")


def test_another_writer_is_waited_for_and_then_left_alone(history: History) -> None:
    history.add("a", [(NOW, {})])
    with sqlite3.connect(history.path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryError, match="locked"):
            history.add("a", [(NOW + 1, {})])


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_folder({"XDG_STATE_HOME": "/var/s"}) == Path("/var/s/backend-doctor")
    monkeypatch.setenv("HOME", "/home/app")
    assert state_folder({}) == Path("/home/app/.local/state/backend-doctor")
    assert state_folder({"XDG_STATE_HOME": "relative"}) == state_folder({})
