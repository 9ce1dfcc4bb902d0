"""http.redirects: facts in, findings out."""

from itertools import pairwise
from typing import Any

import pytest

from backend_doctor import Finding, Status, Subject
from backend_doctor.backends.http.redirects import End, Redirects, Step
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "http" / "redirects.py")
HERE = "https://api/healthz"


def judge(*targets: str, end: End = End.ANSWER, status: int = 200, **fields: Any) -> Finding:
    way = [HERE, *targets]
    steps = tuple(Step(url=url, status=307, target=target) for url, target in pairwise(way))
    known = {"declared": True, **fields}
    found = Redirects(url=HERE, path="/healthz", steps=steps, end=end, status=status, **known)
    (finding,) = CHECK.function(found)
    assert isinstance(finding, Finding)
    return finding


def label(finding: Finding) -> str:
    return finding.cause.label if finding.cause else ""


def test_what_ends_well_is_no_fault() -> None:
    for finding in (judge(), judge(status=500), judge(HERE + "/"), judge("https://api:8443/x")):
        assert (finding.status, label(finding)) == (Status.OK, "")
    assert "sent on 1 times and then answers 200" in judge(HERE + "/").summary


def test_a_way_out_of_https_is_told_always() -> None:
    for declared in (True, False):
        finding = judge("http://api/", end=End.INSECURE, status=307, declared=declared)
        assert (finding.status, label(finding)) == (Status.WARNING, "http.redirect_insecure")
        assert Subject(kind="endpoint", value="/healthz") in finding.subjects
        assert "X-Forwarded-Proto" in str(finding.remedies)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([HERE, HERE], "not told that its clients come by https"),
        ([HERE + "/", HERE, HERE + "/"], "adds the slash"),
        (["https://api/a", HERE, "https://api/a"], "send clients to each other"),
    ],
)
def test_a_circle_is_explained_by_its_steps(targets: list[str], words: str) -> None:
    for declared in (True, False):
        finding = judge(*targets, end=End.LOOP, status=307, declared=declared)
        assert (finding.status, label(finding)) == (Status.CRITICAL, "http.redirect_loop")
        assert finding.cause is not None
        assert words in finding.cause.because
        assert ("redirect_slashes" in str(finding.remedies)) == ("slash" in words)


def test_what_a_declared_path_leads_to_matters() -> None:
    cases: list[tuple[dict[str, Any], Status, str]] = [
        ({"end": End.ELSEWHERE, "status": 307}, Status.WARNING, "http.redirect_elsewhere"),
        ({"end": End.NOWHERE, "status": 307}, Status.WARNING, "http.redirect_broken"),
        ({"status": 404}, Status.WARNING, "http.redirect_broken"),
        ({"status": 502}, Status.CRITICAL, "http.redirect_broken"),
        ({"status": 0, "problem": "no answer"}, Status.CRITICAL, "http.redirect_broken"),
    ]
    for fields, status, expected in cases:
        finding = judge("https://api/x", **fields)
        assert (finding.status, label(finding)) == (status, expected)
        assert judge("https://api/x", declared=False, **fields).status is Status.OK
