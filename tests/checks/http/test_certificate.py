"""http.certificate: facts in, findings out."""

from typing import Any

import pytest

from backend_doctor import Finding, Instance, Status, Subject
from backend_doctor.backends.http.certificate import Certificate, Link
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "http" / "certificate.py")
DAY = 86_400.0


def findings(
    days: float = 60,
    problem: str = "",
    *,
    names: tuple[str, ...] = ("api;x",),
    chain: tuple[Link, ...] = (),
    fetchable: bool = False,
) -> list[Finding]:
    found = Certificate(
        subject="CN=api",
        issuer="CN=R3",
        names=names,
        expires="2027-01-01T00:00:00Z",
        seconds_left=days * DAY,
        verified=not problem,
        problem=problem,
        chain=chain,
        fetchable=fetchable,
    )
    place = Instance(
        service="shop", backend="http", name="http", address="api:443", host="api;x", port=443
    )
    return list(CHECK.function(found, place))


def judge(days: float, problem: str = "") -> Finding:
    return findings(days, problem)[0]


def labels(found: list[Finding]) -> list[str]:
    return [finding.cause.label for finding in found if finding.cause]


def link(subject: str, issuer: str, days: float = 900) -> Link:
    return Link(subject=subject, issuer=issuer, expires="x", seconds_left=days * DAY)


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
    valid, refused = findings(60, "self-signed certificate")
    assert valid.status is Status.OK
    assert "self-signed" in valid.summary
    assert (refused.status, labels([refused])) == (Status.CRITICAL, ["tls.self_signed"])
    assert refused.explains == ("reach.tls",)


@pytest.mark.parametrize(
    ("problem", "fields", "label"),
    [
        ("self signed certificate", {}, "tls.self_signed"),
        ("self-signed certificate in certificate chain", {}, "tls.unknown_authority"),
        ("unable to get local issuer certificate", {}, "tls.unknown_authority"),
        ("unable to get local issuer certificate", {"fetchable": True}, "tls.chain_incomplete"),
        (
            "unable to verify the first certificate",
            {"chain": (link("CN=Z", "CN=Y"),)},
            "tls.chain_incomplete",
        ),
        (
            "unable to get issuer certificate",
            {"chain": (link("CN=R3", "CN=Y"),), "fetchable": True},
            "tls.unknown_authority",
        ),
        ("certificate is not yet valid", {}, "tls.not_yet_valid"),
        ("Hostname mismatch, certificate is not valid for 'api;x'.", {}, "tls.wrong_name"),
        ("tlsv13 alert certificate required", {}, None),
        ("EE certificate key too weak", {}, None),
    ],
)
def test_what_openssl_says_has_its_cause(
    problem: str, fields: dict[str, Any], label: str | None
) -> None:
    assert labels(findings(problem=problem, **fields)) == ([label] if label else [])


def test_intermediates_count_where_they_end_first_and_lead_somewhere() -> None:
    soon, root = link("CN=R3", "CN=X1", 5), link("CN=X1", "CN=X1", 1)
    assert labels(findings(chain=(root, soon))) == ["tls.intermediate_expires_soon"]
    assert labels(findings(chain=(link("CN=Z", "CN=X1", 5),))) == []
    assert labels(findings(days=4, chain=(soon,))) == ["tls.expires_soon"]
    ended = (link("CN=R3", "CN=X1"), link("CN=X1", "CN=DST", -100))
    assert labels(findings(chain=ended)) == []
    said = "certificate has expired"
    assert labels(findings(problem=said, chain=ended)) == ["tls.intermediate_expired"]


def test_a_name_in_common_name_alone_is_no_name_to_a_browser() -> None:
    _, unnamed = findings(names=())
    assert (unnamed.status, labels([unnamed])) == (Status.WARNING, ["tls.wrong_name"])
    assert unnamed.explains == ()


@pytest.mark.parametrize(
    ("host", "name", "covered"),
    [
        ("API.example.com", "api.example.com", True),
        ("api.example.com.", "*.Example.com", True),
        ("a.b.example.com", "*.example.com", False),
        ("example.com", "*.example.com", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "*.0.0.1", False),
        ("::1", "::1", True),
    ],
)
def test_names(host: str, name: str, covered: bool) -> None:
    found = Certificate(subject="", issuer="", names=(name,), expires="", seconds_left=1.0)
    assert found.covers(host) == covered


def test_a_hostile_name_stays_an_argument() -> None:
    assert "-connect 'api;x:443'" in judge(1).remedies[0].command
