"""settings.token_libraries: facts in, findings out (files: tests/backends/test_libraries.py)."""

import pytest

from backend_doctor import Finding, Status
from backend_doctor.backends.settings.libraries import Libraries
from backend_doctor.backends.settings.library_lists import Named
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "settings" / "token_libraries.py")
UNSAFE = "token.library_unsafe"


def named(name: str, version: str = "", least: str = "") -> Named:
    return Named(name=name, place="requirements.txt:3", version=version, least=least)


def judged(*libraries: Named, unread: tuple[str, ...] = ()) -> list[Finding]:
    return list(CHECK.function(Libraries(named=libraries, files=("r.txt",), unread=unread)))


@pytest.mark.parametrize(
    ("library", "label", "flaws"),
    [
        (named("python-jose", "3.3.0"), UNSAFE, {"CVE-2024-33663", "CVE-2024-23342"}),
        (named("python-jose", "3.5.0"), UNSAFE, {"CVE-2024-23342"}),
        (named("python-jose"), UNSAFE, {"CVE-2024-23342"}),
        (named("python-jose", least="3.4"), UNSAFE, {"CVE-2024-23342"}),
        (named("pyjwt", "2.3.0"), UNSAFE, {"CVE-2022-29217", "CVE-2026-32597"}),
        (named("pyjwt", "2.4"), UNSAFE, {"CVE-2026-32597"}),
        (named("pyjwt", "2.10.0"), UNSAFE, {"CVE-2024-53861"}),
        (named("flask-cors", "4.0.1"), "cors.library_unsafe", {"CVE-2024-6221"}),
        (named("joserfc", "1.6.7"), UNSAFE, {"CVE-2026-49852"}),
    ],
)
def test_a_known_flaw_is_named_with_its_line(library: Named, label: str, flaws: set[str]) -> None:
    (finding,) = judged(library)
    assert finding.cause
    assert (finding.status, finding.cause.label) == (Status.WARNING, label)
    assert flaws <= {evidence.value for evidence in finding.evidence}
    assert "requirements.txt:3" in finding.evidence[0].text


@pytest.mark.parametrize(
    "library",
    [
        named("pyjwt", "2.14.0"),
        named("pyjwt", "2.14"),
        named("pyjwt", least="2.15.1"),
        named("flask-cors", "4.0.2"),
        named("joserfc", "1.10.0"),
    ],
)
def test_healthy_twins(library: Named) -> None:
    (finding,) = judged(library)
    assert (finding.status, finding.cause) == (Status.OK, None)


def test_flaws_that_a_release_does_not_have_are_not_named() -> None:
    sources = {evidence.value for evidence in judged(named("pyjwt", "2.12.1"))[0].evidence}
    assert sources == {"PyJWT 2.12.1", "CVE-2026-48526", "CVE-2026-102268"}
    assert "CVE-2024-33663" not in {
        e.value for e in judged(named("python-jose", "3.4.0"))[0].evidence
    }


def test_what_is_not_pinned_is_neither_fine_nor_a_fault() -> None:
    (finding,) = judged(named("pyjwt", least="2.0"))
    assert (finding.status, finding.cause) == (Status.SKIPPED, None)
    assert "PyJWT is not pinned (requirements.txt:3)" in finding.notes[0]
    assert judged(named("pyjwt", least="2.0"), named("pyjwt", "2.15.1"))[0].status is Status.OK


def test_a_list_that_could_not_be_read_is_not_fine() -> None:
    (finding,) = judged(unread=("uv.lock cannot be read: x",))
    assert finding.status is Status.SKIPPED
    assert judged()[0].status is Status.OK


def test_two_lists_are_one_finding() -> None:
    (finding,) = judged(named("pyjwt", "2.3.0"), named("pyjwt", "2.11.0"))
    assert [one.value for one in finding.evidence[:2]] == ["PyJWT 2.3.0", "PyJWT 2.11.0"]
