"""postgres.cache: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import cause, evidence, looks, run, session
from tests.checks.postgres.windows import MIB, counted, ran, settings

from backend_doctor import Finding, Looks, Status, Step
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import Statements

BLOCKS = 10_000
READERS = ran({"calls": 400, "read_blocks": BLOCKS}, {"calls": 900}, {"read_blocks": BLOCKS // 20})


def judge(
    *,
    blocks: int = BLOCKS,
    read_ms: float = 2000.0,
    active_ms: float = 3000.0,
    statements: Looks[Statements] | None = READERS,
    seen: Looks[Sessions] | None = None,
    uptime: float = 3600.0,
    **values: str,
) -> Finding:
    counts: dict[str, Any] = {"read_blocks": blocks, "hit_blocks": 3 * blocks}
    window = counted(uptime=uptime, read_ms=read_ms, active_ms=active_ms, **counts)
    (finding,) = run("cache", window, settings(**values), statements, seen)
    return finding


def test_the_disk_that_statements_wait_for_is_named_with_who_reads() -> None:
    finding = judge()
    assert (finding.status, cause(finding)) == (Status.WARNING, "cache.working_set")
    assert evidence(finding, "read_bytes_per_second") == BLOCKS * 8192 / 5
    assert evidence(finding, "read_time_share") == 0.67
    assert "75% of the blocks" in finding.evidence[0].text
    assert [subject.value for subject in finding.subjects] == ["1"]


@pytest.mark.parametrize(
    "changed",
    [
        {"blocks": 3000, "read_ms": 2000.0},
        {"read_ms": 1400.0},
        {"read_ms": 100.0, "active_ms": 110.0},
        {"statements": ran({"calls": 1, "read_blocks": BLOCKS}, {"read_blocks": 50})},
        {"uptime": 30.0, "shared_buffers": "16384"},
    ],
    ids=["little", "mostly computing", "the system's cache", "one scan", "still filling"],
)
def test_the_twins_are_fine(changed: dict[str, Any]) -> None:
    assert judge(**changed).status is Status.OK


def test_soon_after_a_start_it_counts_once_the_cache_was_turned_over() -> None:
    assert BLOCKS * 8192 > 16 * MIB
    assert judge(uptime=30.0).status is Status.WARNING


def test_without_statements_it_cannot_be_told_from_one_scan() -> None:
    finding = judge(statements=None)
    assert finding.status is Status.UNKNOWN
    assert judge(statements=None, read_ms=10.0).status is Status.OK


@pytest.mark.parametrize(("first", "status"), [(3, Status.WARNING), (1, Status.OK)])
def test_without_timing_both_looks_must_see_sessions_wait_for_reads(
    first: int, status: Status
) -> None:
    def look(reading: int) -> list[Any]:
        waiting = {"state": "active", "wait_type": "IO", "wait": "DataFileRead"}
        return [
            *(session(pid, **waiting) for pid in range(11, 11 + reading)),
            *(session(pid, state="active") for pid in range(31, 33)),
            session(50),
        ]

    seen = looks(look(4), look(first))
    finding = judge(seen=seen, read_ms=0.0, track_io_timing="off")
    assert finding.status is status
    if status is Status.OK:
        assert "track_io_timing = on" in finding.notes[0]
    else:
        assert evidence(finding, "read_time_share") == 0.6


def test_more_memory_is_no_cure_where_one_statement_reads_the_most() -> None:
    half, third = BLOCKS // 2, BLOCKS // 3
    for blocks, cures in (((BLOCKS, half, half), 1), ((third, third, third), 2)):
        found = judge(statements=ran(*({"calls": 400, "read_blocks": one} for one in blocks)))
        assert sum(remedy.step is Step.CURE for remedy in found.remedies) == cures
