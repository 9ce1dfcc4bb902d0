"""postgres.temporary_files: facts in, findings out."""

import pytest
from tests.checks.postgres.builders import cause, evidence, run
from tests.checks.postgres.windows import GIB, MIB, counted, ran

from backend_doctor import Finding, Status
from backend_doctor.backends.postgres.statements import Statements
from backend_doctor.facts import Looks


def judge(
    written: int, files: int = 20, statements: Looks[Statements] | None = None, **limits: int
) -> Finding:
    window = counted(temp_bytes=written, temp_files=files)
    (finding,) = run("temporary_files", window, statements, **limits)
    return finding


def test_a_gigabyte_in_ten_seconds_is_too_much() -> None:
    finding = judge(GIB // 2)
    assert (finding.status, cause(finding)) == (Status.WARNING, "temp.heavy_spills")
    assert evidence(finding, "temporary_bytes") == GIB // 2
    assert "database shop" in finding.evidence[0].text


@pytest.mark.parametrize(("written", "files"), [(0, 0), (499 * MIB, 20), (GIB, 2)])
def test_little_or_a_single_sort_is_fine(written: int, files: int) -> None:
    assert judge(written, files).status is Status.OK


def test_a_report_that_spills_once_is_fine() -> None:
    once = ran({"calls": 1, "temp_blocks": GIB // 8192}, {"calls": 500})
    assert judge(GIB, 8, once).status is Status.OK


def test_the_statements_that_spill_are_named_and_their_role_gets_the_memory() -> None:
    several = ran(
        {"calls": 7, "temp_blocks": 90_000, "role": 're"port'},
        {"calls": 2, "temp_blocks": 20_000},
        {"temp_blocks": 9},
    )
    finding = judge(GIB, 8, several)
    assert finding.status is Status.WARNING
    assert [subject.value for subject in finding.subjects] == ["1", "2"]
    commands = "\n".join(remedy.command for remedy in finding.remedies)
    assert 'ALTER ROLE "re""port" SET work_mem' in commands


def test_limits_can_be_set() -> None:
    assert judge(5 * MIB, bytes_per_second=MIB).status is Status.WARNING
