"""token.discovery: facts in, findings out."""

import shlex
from typing import Any

import pytest

from backend_doctor import Absent, Status
from backend_doctor.backends.token.discovery import Discovery
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "discovery.py")


def causes(**facts: Any) -> dict[str, Status]:
    found = list(CHECK.function(Discovery(**{"url": "https://a/x", "declared": True, **facts})))
    return {one.cause.label if one.cause else "": one.status for one in found}


@pytest.mark.parametrize(
    ("facts", "label", "status"),
    [
        ({}, "", Status.OK),
        ({"issuer": "equal", "place": "equal", "sample": "equal"}, "", Status.OK),
        ({"issuer": "equal", "sample": "other"}, "", Status.OK),
        ({"place": "slash"}, "", Status.OK),
        ({"issuer": "slash"}, "token.issuer", Status.CRITICAL),
        ({"sample": "other"}, "token.issuer", Status.CRITICAL),
        ({"place": "other"}, "token.issuer", Status.WARNING),
        ({"problem": "status 503"}, "token.discovery_unusable", Status.WARNING),
    ],
)
def test_each_difference_is_judged(facts: dict[str, Any], label: str, status: Status) -> None:
    assert causes(**facts) == {label: status}


def test_an_issuer_need_not_publish_one() -> None:
    with pytest.raises(Absent):
        causes(declared=False, problem="status 404")


def test_it_can_be_asked_for_by_paste() -> None:
    url = "https://a/tenant;x/.well-known/openid-configuration"
    (found,) = CHECK.function(Discovery(url=url, declared=True, problem="status 503"))
    assert shlex.split(found.remedies[0].command)[:3] == ["curl", "-si", url]
