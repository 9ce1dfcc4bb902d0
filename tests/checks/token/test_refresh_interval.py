"""token.refresh_interval: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.token.builders import NOW, place, token

from backend_doctor import Absent, Status
from backend_doctor.backends.token.decoding import Claim
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.facts import AbsenceKind
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "refresh_interval.py")


def judge(sample: SampleToken, **declared: Any) -> tuple[str, Status]:
    (finding,) = CHECK.function(sample, place(**declared))
    return (finding.cause.label if finding.cause else "", finding.status)


@pytest.mark.parametrize(
    ("interval", "leeway", "status"),
    [
        (901, None, Status.CRITICAL),
        (900, 0, Status.CRITICAL),
        (960, 60, Status.CRITICAL),
        (930, 60, Status.WARNING),
        (900, 60, Status.WARNING),
    ],
)
def test_a_late_renewal_is_named(interval: int, leeway: int | None, status: Status) -> None:
    declared = {} if leeway is None else {"leeway": leeway}
    label = "token.ttl_shorter_than_refresh"
    assert judge(token(), refresh_interval=interval, **declared) == (label, status)


@pytest.mark.parametrize("sample", [token(), token(exp=-7200 + 900, iat=-7200)])
def test_a_renewal_in_time_is_fine_whenever_the_sample_is_from(sample: SampleToken) -> None:
    assert judge(sample, refresh_interval=899) == ("", Status.OK)


@pytest.mark.parametrize(
    "sample",
    [
        token(refresh=True),
        token(problem="torn"),
        token(exp=None),
        token(exp=Claim(form="number", value=(NOW + 900) * 1000)),
        token(exp=-900),
    ],
)
def test_what_cannot_be_compared_is_skipped(sample: SampleToken) -> None:
    with pytest.raises(Absent) as raised:
        judge(sample, refresh_interval=900)
    assert raised.value.absence.kind is AbsenceKind.NOT_APPLICABLE


def test_nothing_declared_is_skipped_and_no_iat_is_not_called_fine() -> None:
    with pytest.raises(Absent):
        judge(token())
    with pytest.raises(Absent) as raised:
        judge(token(iat=None), refresh_interval=900)
    assert raised.value.absence.kind is AbsenceKind.BLIND
