"""token.header: facts in, findings out."""

from typing import get_args

import pytest
from tests.checks.token.builders import token

from backend_doctor import Absent, Finding, Status
from backend_doctor.backends.token.header import Hazard
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "header.py")
LABELS = {
    "kid_not_text": "token.kid_unsafe",
    "kid_unsafe": "token.kid_unsafe",
    "jku": "token.key_from_header",
    "x5u": "token.key_from_header",
    "jwk": "token.key_from_header",
    "crit_malformed": "token.critical_header",
    "crit_unknown": "token.critical_header",
}


def judge(sample: SampleToken) -> list[Finding]:
    return list(CHECK.function(sample))


@pytest.mark.parametrize("hazard", get_args(Hazard))
def test_each_hazard_is_named(hazard: Hazard) -> None:
    (finding,) = judge(token(hazards=(hazard,)))
    assert finding.cause is not None
    assert finding.cause.label == LABELS[hazard]
    grave = hazard == "kid_unsafe"
    assert finding.status is (Status.CRITICAL if grave else Status.WARNING)
    assert finding.evidence
    assert finding.remedies


def test_two_hazards_are_two_findings() -> None:
    assert len(judge(token(hazards=("jku", "kid_unsafe")))) == 2


@pytest.mark.parametrize("sample", [token(), token(kid=True, typ="at+jwt"), token(typ="other")])
def test_an_ordinary_header_is_fine(sample: SampleToken) -> None:
    (finding,) = judge(sample)
    assert finding.status is Status.OK


@pytest.mark.parametrize("sample", [token(problem="torn"), token(encrypted=True)])
def test_what_cannot_be_read_is_skipped(sample: SampleToken) -> None:
    with pytest.raises(Absent):
        judge(sample)
