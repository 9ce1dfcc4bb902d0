"""token.lifetime: facts in, findings out."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checks.token.builders import NOW, at, clocks, place, token

from backend_doctor import Absent, Finding, Status
from backend_doctor.backends.token.clocks import Clocks
from backend_doctor.backends.token.decoding import Claim, Form
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "lifetime.py")
YEAR = 365.25 * 86_400


def judge(sample: SampleToken, hosts: Clocks | None = None, **declared: Any) -> Finding:
    (finding,) = CHECK.function(sample, hosts, place(**declared))
    assert isinstance(finding, Finding)
    return finding


def named(finding: Finding) -> tuple[str, Status]:
    return (finding.cause.label if finding.cause else "", finding.status)


def milliseconds(seconds: float) -> Claim:
    return Claim(form="number", value=(NOW + seconds) * 1000)


@pytest.mark.parametrize(
    ("sample", "label", "status"),
    [
        (token(exp=None), "token.no_expiry", Status.CRITICAL),
        (token(exp=-61, iat=-900), "token.expired", Status.CRITICAL),
        (token(exp=-60, iat=-900), "token.expired", Status.CRITICAL),
        (token(exp=0), "token.never_valid", Status.CRITICAL),
        (token(exp=-900), "token.never_valid", Status.CRITICAL),
        (token(exp=900, nbf=7200), "token.never_valid", Status.CRITICAL),
        (token(exp=-NOW + 900), "token.expired", Status.CRITICAL),
        (token(exp=-NOW - 5), "token.expired", Status.CRITICAL),
        (token(exp=59), "token.expires_too_soon", Status.CRITICAL),
        (token(exp=299), "token.expires_too_soon", Status.WARNING),
        (token(exp=200, iat=None), "token.expires_too_soon", Status.WARNING),
        (token(exp=3601), "token.lifetime_too_long", Status.WARNING),
        (token(exp=8 * 86_400), "token.lifetime_too_long", Status.CRITICAL),
        (token(exp=10 * YEAR, iat=None), "token.lifetime_too_long", Status.CRITICAL),
        (token(exp=40 * 86_400, refresh=True), "token.lifetime_too_long", Status.WARNING),
    ],
)
def test_each_illness_is_named(sample: SampleToken, label: str, status: Status) -> None:
    finding = judge(sample)
    assert named(finding) == (label, status)
    assert finding.evidence
    assert finding.remedies


@pytest.mark.parametrize(
    "sample",
    [
        token(exp=300),
        token(exp=3600),
        # about to end in the ordinary way, or just over and forgiven
        token(exp=5, iat=-900),
        token(exp=-59, iat=-900),
        token(exp=14 * 86_400, refresh=True),
    ],
)
def test_a_healthy_token_is_fine(sample: SampleToken) -> None:
    assert named(judge(sample)) == ("", Status.OK)


@pytest.mark.parametrize(
    "sample",
    [
        token(exp=milliseconds(900)),
        token(exp=milliseconds(900), iat=milliseconds(0)),
        token(iat=milliseconds(0)),
        token(exp=milliseconds(9 * YEAR)),
    ],
)
@pytest.mark.parametrize("long_lived", [True, False])
def test_milliseconds_are_no_long_life(sample: SampleToken, long_lived: bool) -> None:
    finding = judge(sample, long_lived=long_lived)
    assert named(finding) == ("token.exp_unit", Status.CRITICAL)
    assert "milliseconds" in finding.summary


@pytest.mark.parametrize("years", [10, 265])
def test_a_long_life_by_policy_is_fine(years: int) -> None:
    assert named(judge(token(exp=years * YEAR), long_lived=True)) == ("", Status.OK)
    assert named(judge(token(exp=years * YEAR)))[0] == "token.lifetime_too_long"


def test_for_ever_by_policy_is_still_told() -> None:
    assert named(judge(token(exp=None), long_lived=True)) == ("token.no_expiry", Status.WARNING)


@pytest.mark.parametrize("form", [f for f in get_args(Form) if f not in ("missing", "number")])
def test_what_is_no_number_is_told(form: Any) -> None:
    sample = SampleToken(alg="HS256", observed=NOW, exp=Claim(form=form))
    assert named(judge(sample)) == ("token.exp_not_a_number", Status.CRITICAL)


@pytest.mark.parametrize("sample", [token(encrypted=True), token(problem="it is torn")])
def test_what_cannot_be_read_is_not_judged(sample: SampleToken) -> None:
    with pytest.raises(Absent):
        judge(sample)


def test_the_time_is_that_of_hosts_which_agree() -> None:
    assert named(judge(token(exp=-200, iat=-1100)))[0] == "token.expired"
    assert named(judge(token(exp=-200, iat=-1100), clocks(-300, -300.4)))[0] == ""
    assert named(judge(token(exp=-200, iat=-1100), clocks(-300, 0)))[0] == "token.expired"


def test_leeway_is_the_declared_one() -> None:
    assert named(judge(token(exp=-1, iat=-900), leeway=0))[0] == "token.expired"
    assert named(judge(token(exp=-100, iat=-1000), leeway=120))[0] == ""


@given(st.floats(-1e18, 1e18), st.none() | st.floats(-1e18, 1e18), st.booleans())
def test_any_moments_are_judged(exp: float, iat: float | None, long_lived: bool) -> None:
    claim = Claim() if iat is None else Claim(form="number", value=iat)
    sample = SampleToken(alg="HS256", observed=NOW, exp=at(exp), iat=claim)
    assert judge(sample, long_lived=long_lived).summary
