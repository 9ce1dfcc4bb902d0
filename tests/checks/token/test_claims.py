"""token.claims: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.token.builders import place, token

from backend_doctor import Absent, Finding, Status
from backend_doctor.backends.token.claims import Claims
from backend_doctor.backends.token.decoding import Claim
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "claims.py")
OURS = {"audience": ("shop-api",), "issuer": ("https://login.example/",)}
ALL = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id")


def saying(**claims: Any) -> SampleToken:
    agreed = {"audience": "equal", "issuer": "equal", "audiences": 1, "present": ALL}
    return token(claims=Claims(**{**agreed, **claims}))


def judge(sample: SampleToken, **declared: Any) -> list[Finding]:
    found = list(CHECK.function(sample, place(**declared)))
    assert all(isinstance(finding, Finding) for finding in found)
    return found


@pytest.mark.parametrize("difference", ["missing", "slash", "case", "other"])
@pytest.mark.parametrize("claim", ["audience", "issuer"])
def test_another_audience_or_issuer_is_named(claim: str, difference: str) -> None:
    (finding,) = judge(saying(**{claim: difference}), **OURS)
    assert finding.cause is not None
    assert (finding.cause.label, finding.status) == (f"token.{claim}", Status.CRITICAL)
    assert OURS[claim][0] in finding.summary
    evidence = {item.key: item.value for item in finding.evidence}
    assert evidence[claim] == difference
    assert evidence[f"expected_{claim}"] == OURS[claim][0]


def test_an_id_token_is_told() -> None:
    (finding,) = judge(saying(audience="other", identity=True), **OURS)
    assert finding.cause is not None
    assert "ID token" in finding.cause.because


@pytest.mark.parametrize(
    "sample",
    [
        saying(not_text=("sub",)),
        saying(audience="not_text"),
        token(iat=Claim(form="text"), claims=saying().claims),
        token(nbf=Claim(form="numeric_text"), claims=saying().claims),
    ],
)
def test_a_wrong_type_is_told(sample: SampleToken) -> None:
    (finding,) = judge(sample, **OURS)
    assert finding.cause is not None
    assert (finding.cause.label, finding.status) == ("token.claim_type", Status.WARNING)


def test_a_secret_in_the_payload_is_told() -> None:
    (finding,) = judge(saying(secrets=("a claim named password",)))
    assert finding.cause is not None
    assert (finding.cause.label, finding.status) == ("token.secret_in_payload", Status.WARNING)


@pytest.mark.parametrize(
    ("sample", "declared", "note"),
    [
        (saying(), OURS, ""),
        # advice is no alarm: most tokens lack one of them
        (token(), {}, "no iss, sub, aud"),
        (saying(audience="undeclared", issuer="undeclared"), {}, "declare audience and issuer"),
        (saying(personal=("email",)), OURS, "can read email"),
        (token(typ="at+jwt", claims=Claims(present=ALL[:-1])), {}, "client_id too (RFC 9068)"),
    ],
)
def test_what_agrees_is_fine(sample: SampleToken, declared: dict[str, Any], note: str) -> None:
    (finding,) = judge(sample, **declared)
    assert finding.status is Status.OK
    assert note in "; ".join(finding.notes)


@pytest.mark.parametrize("sample", [token(problem="torn"), token(encrypted=True)])
def test_what_cannot_be_read_is_skipped(sample: SampleToken) -> None:
    with pytest.raises(Absent):
        judge(sample)
