"""http.certificate: facts in, findings out."""

import pytest

from backend_doctor import Finding, Instance, Status, Subject
from backend_doctor.backends.http.certificate import Certificate
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "http" / "certificate.py")
DAY = 86_400.0


def judge(days: float, problem: str = "") -> Finding:
    found = Certificate(
        subject="CN=api",
        issuer="CN=R3",
        names=("api",),
        expires="2027-01-01T00:00:00Z",
        seconds_left=days * DAY,
        verified=not problem,
        problem=problem,
    )
    place = Instance(
        service="shop", backend="http", name="http", address="api:443", host="api;x", port=443
    )
    (finding,) = CHECK.function(found, place)
    assert isinstance(finding, Finding)
    return finding


@pytest.mark.parametrize(
    ("days", "status", "label"),
    [
        (90, Status.OK, ""),
        (14, Status.OK, ""),
        (13.9, Status.WARNING, "tls.expires_soon"),
        (3, Status.WARNING, "tls.expires_soon"),
        (2.9, Status.CRITICAL, "tls.expires_soon"),
        (0, Status.CRITICAL, "tls.expired"),
        (-3, Status.CRITICAL, "tls.expired"),
    ],
)
def test_thresholds(days: float, status: Status, label: str) -> None:
    finding = judge(days)
    assert finding.status is status
    assert (finding.cause.label if finding.cause else "") == label
    assert (finding.explains == ("reach.tls",)) == (label == "tls.expired")


def test_an_expired_one_explains_why_nobody_connects() -> None:
    assert Subject(kind="login", value="api:443") in judge(-1, "certificate has expired").subjects


def test_one_that_nobody_trusts_is_not_called_expired() -> None:
    finding = judge(60, "self-signed certificate")
    assert finding.status is Status.OK
    assert "self-signed" in finding.summary


def test_a_hostile_name_stays_an_argument() -> None:
    assert "-connect 'api;x:443'" in judge(1).remedies[0].command
