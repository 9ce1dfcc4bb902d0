"""token.form: facts in, findings out."""

import pytest
from tests.checks.token.builders import token

from backend_doctor import Finding, Status
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "form.py")


def judge(sample: SampleToken) -> Finding:
    (finding,) = CHECK.function(sample)
    assert isinstance(finding, Finding)
    return finding


@pytest.mark.parametrize(
    ("sample", "label", "status"),
    [
        (token(problem="it is torn"), "token.malformed", Status.CRITICAL),
        (token(size=4_097), "token.too_large", Status.WARNING),
        (token(size=8_161, encrypted=True), "token.too_large", Status.CRITICAL),
    ],
)
def test_each_illness_is_named(sample: SampleToken, label: str, status: Status) -> None:
    finding = judge(sample)
    assert finding.cause is not None
    assert (finding.cause.label, finding.status) == (label, status)
    assert finding.evidence
    assert finding.remedies


def test_the_problem_is_said_and_so_is_what_was_left_out() -> None:
    finding = judge(token(problem="it is torn", notes=("quotes were left out",)))
    assert "it is torn" in finding.summary
    assert finding.notes == ("quotes were left out",)


@pytest.mark.parametrize("sample", [token(size=4_096), token(size=300, encrypted=True)])
def test_a_well_formed_one_is_fine(sample: SampleToken) -> None:
    finding = judge(sample)
    assert finding.status is Status.OK
    assert [measure.value for measure in finding.measures] == [sample.size]
    assert ("JWE" in finding.summary) is sample.encrypted
