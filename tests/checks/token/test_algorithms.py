"""token.algorithms: facts in, findings out."""

import pytest
from tests.checks.token.builders import place, token

from backend_doctor import Absent, Status
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "algorithms.py")
CONFUSION, REFUSED = "token.alg_confusion", "token.algorithm_not_accepted"


def causes(sample: SampleToken | None, *accepted: str) -> dict[str, Status]:
    declared = {"algorithms": accepted} if accepted else {}
    found = list(CHECK.function(sample, place(**declared)))
    return {finding.cause.label if finding.cause else "": finding.status for finding in found}


@pytest.mark.parametrize(
    ("sample", "accepted", "expected"),
    [
        (None, ("HS256", "none"), {CONFUSION: Status.CRITICAL}),
        (None, ("HS256", "RS256"), {CONFUSION: Status.WARNING}),
        (token(signature="confused"), ("HS256",), {CONFUSION: Status.CRITICAL}),
        (token(signature="confused"), (), {CONFUSION: Status.CRITICAL}),
        (token(alg="RS256"), ("HS256", "HS512"), {REFUSED: Status.CRITICAL}),
        (token(alg="other"), ("ES256",), {REFUSED: Status.CRITICAL}),
        (
            token(signature="confused"),
            ("RS256",),
            {CONFUSION: Status.CRITICAL, REFUSED: Status.CRITICAL},
        ),
        (token(), ("HS256",), {"": Status.OK}),
        (token(alg="RS256"), ("RS256", "ES256"), {"": Status.OK}),
        (token(signature="wrong"), (), {"": Status.OK}),
        # token.signature names it; that it is refused is right
        (token(alg="none"), ("RS256",), {"": Status.OK}),
        (None, ("RS256",), {"": Status.OK}),
    ],
)
def test_each_case_is_judged(
    sample: SampleToken | None, accepted: tuple[str, ...], expected: dict[str, Status]
) -> None:
    assert causes(sample, *accepted) == expected


def test_the_remedy_pins_a_public_algorithm_where_one_is_in_use() -> None:
    (finding,) = CHECK.function(None, place(algorithms=("none", "HS256", "ES256")))
    assert 'algorithms=["ES256"]' in finding.remedies[0].command


@pytest.mark.parametrize("sample", [None, token(problem="torn")])
def test_nothing_to_judge_is_skipped(sample: SampleToken | None) -> None:
    with pytest.raises(Absent):
        causes(sample)
