"""token.key_set: facts in, findings out."""

import shlex
from typing import Any

import pytest
from tests.checks.token.builders import place, token

from backend_doctor import Finding, Status, Step
from backend_doctor.backends.token.keyset import KeySet
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "key_set.py")


def judged(sample: SampleToken | None = None, **facts: Any) -> list[Finding]:
    keys = KeySet(**{"keys": 2, "rsa_bits": 2048, **facts})
    return list(CHECK.function(keys, sample, place()))


def causes(sample: SampleToken | None = None, **facts: Any) -> dict[str, Status]:
    return {one.cause.label if one.cause else "": one.status for one in judged(sample, **facts)}


@pytest.mark.parametrize(
    ("facts", "label", "status"),
    [
        ({"problem": "the key set is not JSON"}, "token.jwks_malformed", Status.CRITICAL),
        ({"unreachable": "status 503"}, "token.jwks_unreachable", Status.CRITICAL),
        ({"knows_sample": "no"}, "token.jwks_stale", Status.CRITICAL),
        ({"private": 1}, "token.jwks_private", Status.WARNING),
        ({"shared": 1}, "token.jwks_private", Status.WARNING),
        ({"unnamed": 1}, "token.jwks_ambiguous", Status.WARNING),
        ({"repeated": 1}, "token.jwks_ambiguous", Status.WARNING),
        ({"rsa_bits": 1024}, "token.weak_key", Status.WARNING),
    ],
)
def test_each_illness_is_named(facts: dict[str, Any], label: str, status: Status) -> None:
    assert causes(**facts) == {label: status}


def test_several_illnesses_are_several_findings() -> None:
    assert len(causes(knows_sample="no", private=1, rsa_bits=512)) == 3


@pytest.mark.parametrize(
    "facts", [{}, {"knows_sample": "yes"}, {"keys": 1, "unnamed": 1}, {"rsa_bits": 0}]
)
def test_a_sound_set_is_fine(facts: dict[str, Any]) -> None:
    assert causes(**facts) == {"": Status.OK}


def test_a_sample_that_is_over_may_name_a_key_that_is_gone() -> None:
    assert causes(token(exp=900), knows_sample="no") == {"token.jwks_stale": Status.CRITICAL}
    assert causes(token(exp=-900), knows_sample="no") == {"": Status.OK}


@pytest.mark.parametrize(("seconds", "note"), [(0, "not be cached"), (172_800, "2 days")])
def test_how_long_it_may_be_kept_is_noted(seconds: int, note: str) -> None:
    keys = KeySet(keys=2, url="https://a/jwks", cache_seconds=seconds)
    (found,) = CHECK.function(keys, None, place())
    assert note in found.notes[0]


def test_a_set_that_is_not_there_can_be_asked_for_by_paste() -> None:
    url = "https://auth.example/keys;v=(1)/jwks"
    (found,) = judged(unreachable="the answer has status 503", url=url)
    asked = [one.command for one in found.remedies if one.step is Step.CONFIRM]
    assert [shlex.split(command) for command in asked] == [["curl", "-si", url, "|", "head", "-20"]]


def test_a_set_that_cannot_be_read_is_looked_at_where_it_is() -> None:
    (fetched,) = judged(problem="the key set is not JSON", url="https://auth.example/jwks")
    (local,) = judged(problem="the key set is not JSON")
    assert '"https://auth.example/jwks"' in fetched.remedies[0].command
    assert "open(" not in fetched.remedies[0].command
    assert "open(" in local.remedies[0].command
