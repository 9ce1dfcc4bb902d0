"""token.forgery: facts in, findings out."""

from typing import Any

import pytest

from backend_doctor import Absent, Status
from backend_doctor.backends.token.forgery import Forgery
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "forgery.py")
REFUSED = {"genuine": 200, "unsigned": 401, "tampered": 401, "none": 401, "confused": 401}


def causes(**facts: Any) -> dict[str, Status]:
    found = list(CHECK.function(Forgery(**{"path": "/me", **REFUSED, **facts})))
    return {one.cause.label if one.cause else "": one.status for one in found}


@pytest.mark.parametrize(
    ("facts", "label"),
    [
        ({}, ""),
        ({"confused": None}, ""),
        ({"none": 500}, ""),
        ({"none": 200}, "token.alg_confusion"),
        ({"confused": 204}, "token.alg_confusion"),
        ({"unsigned": 200}, "token.alg_confusion"),
        ({"tampered": 200, "unsigned": 200, "none": 200}, "token.not_verified"),
    ],
)
def test_each_copy_that_is_accepted_is_told(facts: dict[str, Any], label: str) -> None:
    assert causes(**facts) == {label: Status.CRITICAL if label else Status.OK}


@pytest.mark.parametrize("facts", [{"genuine": 401}, {"none": 0}])
def test_without_a_genuine_token_nothing_is_told(facts: dict[str, Any]) -> None:
    with pytest.raises(Absent):
        causes(**facts)
