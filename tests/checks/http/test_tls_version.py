"""http.tls_version: facts in, findings out."""

import pytest

from backend_doctor import Finding, Instance, Status, Subject
from backend_doctor.backends.http.tls import TlsVersions
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "http" / "tls_version.py")


def judge(agreed: str, old: str = "", doubt: str = "") -> Finding:
    place = Instance(
        service="shop", backend="http", name="http", address="api:443", host="api;x", port=443
    )
    (finding,) = CHECK.function(TlsVersions(agreed=agreed, old=old, doubt=doubt), place)
    assert isinstance(finding, Finding)
    return finding


@pytest.mark.parametrize(
    ("agreed", "old", "status", "label"),
    [
        ("TLSv1.3", "", Status.OK, ""),
        ("TLSv1.2", "", Status.OK, ""),
        ("TLSv1.3", "TLSv1.1", Status.WARNING, "tls.old_version_taken"),
        ("", "TLSv1", Status.CRITICAL, "tls.old_version_only"),
        ("", "", Status.UNKNOWN, ""),
    ],
)
def test_versions(agreed: str, old: str, status: Status, label: str) -> None:
    finding = judge(agreed, old)
    assert finding.status is status
    assert (finding.cause.label if finding.cause else "") == label
    assert (finding.explains == ("reach.tls",)) == (label == "tls.old_version_only")
    assert finding.subjects == (Subject(kind="login", value="api:443"),)
    if label:
        assert "-servername 'api;x'" in finding.remedies[0].command


def test_what_could_not_be_asked_is_said() -> None:
    assert judge("TLSv1.3").notes == ()
    assert "none to offer" in judge("TLSv1.3", doubt="none to offer").notes[0]
