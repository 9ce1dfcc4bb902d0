"""token.login: facts in, findings out."""

from typing import Any

import pytest

from backend_doctor import Absent, Status
from backend_doctor.backends.token.grants import Grants
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "login.py")
SOUND = {"status": 200, "lives": 899.0, "refresh": "body", "renewal": 200, "rotated": True}


def causes(**facts: Any) -> dict[str, Status]:
    found = list(CHECK.function(Grants(**{**SOUND, **facts})))
    return {one.cause.label if one.cause else "": one.status for one in found}


@pytest.mark.parametrize(
    ("facts", "label", "status"),
    [
        ({}, "", Status.OK),
        ({"expires_in": 900.0, "refresh_lives": 86_400.0}, "", Status.OK),
        ({"lives": None, "expires_in": 5.0}, "", Status.OK),
        ({"refresh": "", "renewal": None}, "token.no_refresh", Status.CRITICAL),
        (
            {"refresh": "", "renewal": None, "lives": 7_200.0},
            "token.no_refresh",
            Status.WARNING,
        ),
        ({"renewal": 401}, "token.refresh_refused", Status.CRITICAL),
        ({"renewal": 429}, "", Status.OK),
        ({"expires_in": 3_600.0}, "token.expires_in_wrong", Status.WARNING),
        ({"refresh_lives": 60.0}, "token.refresh_too_short", Status.CRITICAL),
        ({"lives": 30.0}, "token.expires_too_soon", Status.CRITICAL),
    ],
)
def test_each_illness_is_named(facts: dict[str, Any], label: str, status: Status) -> None:
    assert causes(**facts) == {label: status}


def test_a_failed_login_tells_nothing() -> None:
    with pytest.raises(Absent):
        causes(problem="status 401")
