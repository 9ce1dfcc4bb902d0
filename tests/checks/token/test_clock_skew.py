"""token.clock_skew: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.token.builders import NOW, clocks, place, token

from backend_doctor import Absent, Confidence, Finding, Status
from backend_doctor.backends.token.clocks import Clocks
from backend_doctor.backends.token.decoding import Claim
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "clock_skew.py")
DAY = 86_400.0


def judge(sample: SampleToken | None, hosts: Clocks | None = None, **declared: Any) -> Finding:
    (finding,) = CHECK.function(sample, hosts, place(**declared))
    assert isinstance(finding, Finding)
    return finding


def named(finding: Finding) -> str:
    assert (finding.status is Status.CRITICAL) == (finding.cause is not None)
    return finding.cause.label if finding.cause else ""


def test_an_issuer_that_is_ahead_is_named() -> None:
    finding = judge(token(exp=1200, iat=300, nbf=300))
    assert named(finding) == "token.clock_skew"
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY
    assert {e.key: e.value for e in finding.evidence} == {
        "iat_ahead_seconds": 300.0,
        "nbf_ahead_seconds": 300.0,
    }
    assert "5 min" in finding.summary


@pytest.mark.parametrize("ahead", [0, 20, 60, -3600])
def test_within_the_leeway_is_fine(ahead: float) -> None:
    assert named(judge(token(exp=ahead + 900, iat=ahead, nbf=ahead))) == ""


def test_a_small_lead_is_noted() -> None:
    assert "20 s" in judge(token(exp=900, iat=20)).notes[0]


def test_leeway_is_the_declared_one() -> None:
    assert named(judge(token(iat=20), leeway=10)) == "token.clock_skew"
    assert named(judge(token(exp=1200, iat=300), leeway=400)) == ""


def test_hosts_that_differ_are_certain() -> None:
    finding = judge(None, clocks(0.2, 300))
    assert named(finding) == "token.clock_skew"
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.CERTAIN
    assert "https://b is 5 min ahead of https://a" in finding.summary


@pytest.mark.parametrize("hosts", [clocks(0, 20), clocks(0, 61), clocks(20)])
def test_hosts_that_hardly_differ_are_fine(hosts: Clocks) -> None:
    assert named(judge(None, hosts)) == ""


def test_our_own_clock_is_not_held_against_them() -> None:
    finding = judge(token(exp=1200, iat=300), clocks(300, 300.5))
    assert named(finding) == ""
    assert "this machine's own clock" in finding.notes[0]


def test_one_host_against_ourselves_is_only_likely() -> None:
    finding = judge(None, clocks(-300))
    assert named(finding) == "token.clock_skew"
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY
    assert "this machine is 5 min ahead of https://a" in finding.summary


def test_a_whole_zone_is_local_time() -> None:
    finding = judge(token(exp=7200 + 900, iat=7195))
    assert finding.cause is not None
    assert "local time" in finding.cause.because


@pytest.mark.parametrize("sample", [token(nbf=600), token(iat=None, nbf=2 * DAY)])
def test_a_later_start_is_nobodys_clock(sample: SampleToken) -> None:
    assert named(judge(sample)) == "token.not_yet_valid"


def test_milliseconds_are_no_clock() -> None:
    claim = Claim(form="number", value=NOW * 1000)
    assert named(judge(token(iat=claim, nbf=claim))) == ""


def test_silent_hosts_are_noted() -> None:
    finding = judge(token(), clocks(0, silent=("https://x: ConnectError",)))
    assert finding.notes == ("no time could be read from https://x: ConnectError",)


@pytest.mark.parametrize("sample", [None, token(problem="torn"), token(encrypted=True)])
def test_nothing_to_judge_is_skipped(sample: SampleToken | None) -> None:
    with pytest.raises(Absent):
        judge(sample)


def test_hosts_that_are_all_silent_are_not_called_fine() -> None:
    with pytest.raises(Absent, match="https://x"):
        judge(None, clocks(silent=("https://x: ConnectError",)))
    assert named(judge(token(), clocks(silent=("https://x: ConnectError",)))) == ""
