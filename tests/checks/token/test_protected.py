"""token.protected: facts in, findings out."""

from typing import Any

import pytest

from backend_doctor import Absent, Finding, Status
from backend_doctor.backends.token.protected import Answer, ProtectedAnswers
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "protected.py")


def judged(without: int = 401, empty: int = 401, garbage: int = 401, **facts: Any) -> list[Finding]:
    given = {"readable": facts.pop("readable", None), "challenge": facts.pop("challenge", "")}
    answers = {
        name: Answer(status=status, **given)
        for name, status in (("without", without), ("empty", empty), ("garbage", garbage))
    }
    return list(CHECK.function(ProtectedAnswers(**{"path": "/me", **answers, **facts})))


def causes(*statuses: int, **facts: Any) -> dict[str, Status]:
    found = judged(*statuses, **facts)
    return {one.cause.label if one.cause else "": one.status for one in found}


@pytest.mark.parametrize(
    ("statuses", "label", "status"),
    [
        ((401, 401, 401), "", Status.OK),
        ((401, 200, 401), "token.not_verified", Status.CRITICAL),
        ((401, 401, 204), "token.not_verified", Status.CRITICAL),
        ((200, 200, 200), "token.not_verified", Status.CRITICAL),
        ((403, 403, 401), "token.forbidden_not_unauthorized", Status.WARNING),
        ((401, 401, 403), "token.forbidden_not_unauthorized", Status.CRITICAL),
        ((302, 302, 401), "token.redirect_not_unauthorized", Status.WARNING),
        ((401, 401, 500), "token.verifier_error", Status.WARNING),
        ((401, 400, 400), "", Status.OK),
    ],
)
def test_each_answer_is_judged(statuses: tuple[int, int, int], label: str, status: Status) -> None:
    assert causes(*statuses) == {label: status}


def test_a_401_that_pages_cannot_read_is_critical() -> None:
    hidden = {"token.unauthorized_unreadable": Status.CRITICAL}
    assert causes(origin="https://a.example", readable=False) == hidden
    assert causes(origin="https://a.example", readable=True) == {"": Status.OK}


def test_the_page_that_cannot_read_is_named_in_the_remedy() -> None:
    (found,) = judged(origin="https://a.example", readable=False)
    assert 'Allow-Origin "https://a.example" always;' in found.remedies[1].command


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ((403, 403, 401), "/me answers 403 without a token,"),
        ((403, 403, 403), "/me answers 403 to garbage,"),
        ((302, 302, 302), "/me redirects without a token (302),"),
        ((401, 500, 500), "/me answers 500 to an empty token,"),
        ((401, 401, 204), "/me is declared protected, and answers 204 to garbage."),
    ],
)
def test_the_answer_that_tells_most_is_told(statuses: tuple[int, int, int], said: str) -> None:
    (found,) = judged(*statuses)
    assert found.summary.startswith(said)


@pytest.mark.parametrize("without", [0, 404, 405, 500, 503])
def test_what_answers_otherwise_cannot_be_judged(without: int) -> None:
    with pytest.raises(Absent):
        judged(without)


def test_it_is_not_judged_once_it_was_too_much() -> None:
    with pytest.raises(Absent):
        judged(401, 429, 429, throttled=True)


def test_what_is_merely_unusual_is_noted() -> None:
    (bare,), (full,) = judged(), judged(challenge="bearer", origin="https://a", readable=True)
    assert [len(bare.notes), len(full.notes)] == [2, 0]
