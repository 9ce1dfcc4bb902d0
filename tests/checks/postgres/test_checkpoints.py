"""postgres.checkpoints: facts in, findings out."""

import pytest
from tests.checks.postgres.builders import cause, evidence, run
from tests.checks.postgres.windows import GIB, MIB, counted, settings

from backend_doctor import Finding, Status


def judge(requested: int, timed: int, wal: int, size: str = "32") -> Finding:
    server = {
        "checkpoints_requested": requested,
        "checkpoints_timed": timed,
        "wal_bytes": wal,
    }
    (finding,) = run("checkpoints", counted(server=server), settings(max_wal_size=size))
    return finding


def test_checkpoints_that_wal_forces_are_too_frequent() -> None:
    finding = judge(5, 0, 100 * MIB)
    assert (finding.status, cause(finding)) == (Status.WARNING, "checkpoint.too_frequent")
    assert evidence(finding, "requested_checkpoints") == 5
    # 20 MiB/s, 300 s, twice
    assert "max_wal_size = '12GB'" in finding.remedies[-1].command


@pytest.mark.parametrize(
    ("requested", "timed", "wal"),
    [(0, 0, GIB), (0, 1, 0), (2, 0, 100 * MIB), (3, 3, 100 * MIB), (3, 0, MIB)],
    ids=["none", "by time", "too few", "half of them", "asked for by hand"],
)
def test_others_are_fine(requested: int, timed: int, wal: int) -> None:
    finding = judge(requested, timed, wal)
    assert finding.status is Status.OK
    assert finding.measures[0].value == requested
