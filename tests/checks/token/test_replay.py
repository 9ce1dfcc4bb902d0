"""token.replay: facts in, findings out."""

from typing import Any

import pytest

from backend_doctor import Absent, Status
from backend_doctor.backends.token.replay import Replay
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "replay.py")


def causes(*race: Any, **facts: Any) -> dict[str, Status]:
    found = list(CHECK.function(Replay(race=race, **{"rotates": True, **facts})))
    return {one.cause.label if one.cause else "": one.status for one in found}


@pytest.mark.parametrize(
    ("race", "facts", "labels"),
    [
        ((200, 200), {"after_race": 200, "at_once": 200, "late": 401}, {""}),
        ((200, 200), {"rotates": False}, {""}),
        ((200, 401), {"after_race": 200}, {"token.refresh_race"}),
        ((200, 200), {"after_race": 401}, {"token.refresh_race"}),
        ((200, 200), {"after_race": 200, "late": 200}, {"token.reuse_undetected"}),
    ],
)
def test_each_outcome_is_judged(
    race: tuple[int, int], facts: dict[str, Any], labels: set[str]
) -> None:
    status = Status.OK if labels == {""} else Status.CRITICAL
    assert causes(*race, **facts) == dict.fromkeys(labels, status)


@pytest.mark.parametrize("race", [(401, 401), (200, 429), (200, 500), (0, 200)])
def test_other_failures_are_no_race(race: tuple[int, int]) -> None:
    with pytest.raises(Absent):
        causes(*race)
