"""token.header: facts in, findings out."""

from typing import get_args

import pytest
from msgspec import structs
from tests.checks.token.builders import place, token

from backend_doctor import Absent, Finding, Instance, Status
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


def judge(sample: SampleToken, instance: Instance | None = None) -> list[Finding]:
    return list(CHECK.function(sample, instance or place()))


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


def test_the_declared_key_set_is_the_one_to_use() -> None:
    declared = place(jwks="https://auth.example.net/keys?code=c4n4ry")
    (finding,) = judge(token(hazards=("jku",)), declared)
    assert '"https://auth.example.net/keys"' in finding.remedies[0].command


def test_the_sample_is_looked_into_where_it_is() -> None:
    saved = structs.replace(place(), address="my tokens/shop.jwt")
    (finding,) = judge(token(hazards=("crit_unknown",)), saved)
    assert finding.remedies[0].command.startswith("cut -d. -f2 <'my tokens/shop.jwt' |")
    (finding,) = judge(token(hazards=("crit_unknown",)))
    assert finding.remedies[0].command.startswith("cut -d. -f2 <token.jwt |")
