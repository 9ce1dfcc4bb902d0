"""token.acceptance: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.token.builders import NOW, clocks, place, token

from backend_doctor import Absent, Confidence, Finding
from backend_doctor.backends.token.claims import Claims
from backend_doctor.backends.token.keyset import KeySet
from backend_doctor.backends.token.protected import Answer, ProtectedAnswers
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "acceptance.py")
REFUSED = Answer(status=401, alike=False)
LIKE_NONE = Answer(status=401)
ACCEPTED = Answer(status=200, alike=False)
PUBLISHED = KeySet(keys=2, url="https://a/jwks", knows_sample="yes")


def judged(
    given: Answer,
    sample: SampleToken,
    keys: KeySet | None = None,
    garbage: Answer = REFUSED,
    ahead: float = 0.0,
) -> Finding:
    answers = ProtectedAnswers(
        path="/me", without=LIKE_NONE, garbage=garbage, sample=given, observed=NOW
    )
    hosts = clocks(ahead, ahead) if ahead else None
    (found,) = CHECK.function(answers, sample, keys, hosts, place())
    assert isinstance(found, Finding)
    return found


def named(*facts: Any, **more: Any) -> tuple[str, Confidence | None]:
    cause = judged(*facts, **more).cause
    return (cause.label, cause.confidence) if cause else ("", None)


def test_a_valid_token_that_is_refused_like_none_lost_its_header() -> None:
    lost = (LIKE_NONE, token(signature="verified"))
    assert named(*lost, garbage=LIKE_NONE) == ("token.header_dropped", Confidence.LIKELY)
    unsure = ("token.header_dropped", Confidence.POSSIBLE)
    assert named(LIKE_NONE, token(), garbage=LIKE_NONE) == unsure
    assert named(*lost, PUBLISHED, garbage=LIKE_NONE) == unsure
    assert named(*lost)[0] == "token.valid_refused", "garbage was told apart"


def test_a_token_that_the_published_set_verifies_meets_an_old_copy() -> None:
    verified = token(signature="verified")
    assert named(REFUSED, verified, PUBLISHED) == ("token.jwks_stale", Confidence.LIKELY)
    for keys in (None, KeySet(keys=2, knows_sample="yes"), KeySet(keys=2, url="https://a/jwks")):
        assert named(REFUSED, verified, keys)[0] == "token.valid_refused"
    undeclared = token(signature="verified", claims=Claims(audience="undeclared"))
    assert named(REFUSED, undeclared, PUBLISHED)[0] == "token.valid_refused"


def test_a_token_that_is_over_must_be_refused() -> None:
    assert named(ACCEPTED, token(exp=-1_000)) == ("token.expiry_unchecked", Confidence.CERTAIN)
    assert named(ACCEPTED, token(exp=-200)) == ("", None)
    assert named(ACCEPTED, token(exp=-1_000), ahead=-900.0) == ("", None)
    assert named(ACCEPTED, token()) == ("", None)


@pytest.mark.parametrize(
    "sample",
    [
        token(exp=-10),
        token(nbf=3_600),
        token(iat=3_600),
        token(signature="wrong"),
        token(alg="none"),
        token(claims=Claims(audience="other")),
        token(claims=Claims(issuer="slash")),
        token(hazards=("jku",)),
    ],
)
def test_a_refusal_that_the_token_deserves_is_none_of_ours(sample: SampleToken) -> None:
    with pytest.raises(Absent):
        judged(REFUSED, sample)


def test_nothing_is_said_where_garbage_is_let_in() -> None:
    with pytest.raises(Absent):
        judged(REFUSED, token(), garbage=ACCEPTED)
