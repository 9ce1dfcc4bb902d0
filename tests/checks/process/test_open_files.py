"""process.open_files: a steady rise, a limit that is near, and what is neither."""

import shlex

import pytest
from tests.checks.process.builders import WEB, Course, rising, samples, series, still

from backend_doctor import Finding, Status
from backend_doctor.backends.process.samples import Series
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "process" / "open_files.py")


def judge(*found: Series) -> Finding:
    (finding,) = CHECK.function(samples(*found), WEB)
    return finding


def label(finding: Finding) -> str | None:
    return finding.cause.label if finding.cause else None


@pytest.mark.parametrize(
    ("seconds", "files", "status", "cause"),
    [
        (600, rising(20, 30), Status.WARNING, "fd.leak"),
        (3600, rising(20, 3), Status.WARNING, "fd.leak"),
        (90, rising(20, 200), Status.OK, None),
        (600, still(700), Status.OK, None),
        (600, lambda at: 20 + 500 * (at > 200), Status.OK, None),
        (600, lambda at: min(300.0, 20 + at), Status.OK, None),
        (5, still(820), Status.WARNING, "fd.near_limit"),
        (5, still(930), Status.CRITICAL, "fd.near_limit"),
        (90, rising(800, 120), Status.CRITICAL, "fd.leak"),
    ],
    ids=[
        "rises",
        "rises for an hour",
        "too short",
        "many",
        "step",
        "plateau",
        "near",
        "at the limit",
        "rises to the limit",
    ],
)
def test_rise_and_limit(seconds: float, files: Course, status: Status, cause: str | None) -> None:
    finding = judge(series(seconds, files=files))
    assert (finding.status, label(finding)) == (status, cause)
    assert bool(finding.remedies) == (status is not Status.OK)


def test_a_short_rise_is_noted() -> None:
    (note,) = judge(series(90, files=rising(20, 200))).notes
    assert "too short to tell; --for 10m" in note


def test_the_process_nearest_its_limit_is_named() -> None:
    finding = judge(series(pid=1), series(pid=2, files=still(900)), series(pid=3))
    assert "2 (python) has 900 files open of 1024" in finding.summary


def test_another_users_files_are_unknown_not_fine() -> None:
    finding = judge(series(files=None))
    assert finding.status is Status.UNKNOWN
    assert "run this as app or root" in finding.summary


def test_without_a_limit_only_the_rise_counts() -> None:
    finding = judge(series(files=still(100_000), file_limit=None))
    assert finding.status is Status.OK
    assert finding.measures[0].maximum is None


def test_commands_name_the_process() -> None:
    for remedy in judge(series(files=still(900), pid=99)).remedies:
        if remedy.language == "sh":
            shlex.split(remedy.command)
            assert "99" in remedy.command or "shop.process.process" in remedy.command
