from collections.abc import Iterator

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.token.replay import Replay
from backend_doctor.backends.token.times import span
from backend_doctor.backends.token.words import advice

_SOURCE = "refreshes of the test account"
_ABOUT = (Subject(kind="login", value="test account"),)


def _granted(status: int | None) -> bool:
    return status is not None and 200 <= status <= 299


def _race(replay: Replay) -> Finding:
    ended = replay.after_race is not None and not _granted(replay.after_race)
    statuses = " and ".join(map(str, replay.race))
    evidence = [
        Evidence(
            key="race_statuses",
            value=replay.race,
            text=f"{statuses} to one refresh token that was sent twice at once",
            source=_SOURCE,
        )
    ]
    if replay.after_race is not None:
        evidence.append(
            Evidence(
                key="after_race_status",
                value=replay.after_race,
                text=f"{replay.after_race} to the next refresh of the one that had won",
                source=_SOURCE,
            )
        )
    summary = f"Two refreshes at once get {statuses}"
    return Finding(
        status=Status.CRITICAL,
        summary=f"{summary}, and end the session: users are logged out."
        if ended
        else f"{summary}: the tab or worker that loses is logged out.",
        evidence=tuple(evidence),
        cause=Cause(
            label="token.refresh_race",
            confidence=Confidence.CERTAIN,
            because="a refresh token works once without any grace, and clients with two tabs, "
            "workers or retries send it twice; the second one is taken for theft",
        ),
        remedies=(
            advice(
                "Answer a refresh token that was used in the last 30 s with a pair of the same "
                "family, and take later reuse for theft.",
                "two tabs both stay logged in; a thief gains 30 s",
            ),
            advice(
                "navigator.locks.request('refresh', renew)",
                "one refresh at a time in all tabs of a browser; retries wait",
                Step.PREVENT,
            ),
        ),
        explains=("token.refresh_refused",),
        subjects=_ABOUT,
    )


def _undetected(replay: Replay) -> Finding:
    after = f"{span(replay.waited)} after its use"
    return Finding(
        status=Status.CRITICAL,
        summary=f"A refresh token still works {after}: its reuse is not detected.",
        evidence=(
            Evidence(
                key="late_status",
                value=replay.late,
                text=f"{replay.late} to a refresh token {after}",
                source=_SOURCE,
            ),
        ),
        cause=Cause(
            label="token.reuse_undetected",
            confidence=Confidence.CERTAIN,
            because="tokens are rotated and the old ones stay valid, so that a stolen one can be "
            "used beside its owner's (RFC 9700, 4.14); or the grace is longer than declared",
        ),
        remedies=(
            advice(
                "Keep the family of each refresh token, and end it when a used one comes again "
                "after the grace.",
                "a stolen token is found at the next refresh; its user logs in once more",
            ),
        ),
        subjects=_ABOUT,
    )


def _notes(replay: Replay) -> Iterator[str]:
    if not replay.rotates:
        yield "refresh tokens are not rotated: nothing can be lost by using one twice"
    if replay.at_once is not None:
        words = "forgiven at once" if _granted(replay.at_once) else "refused at once"
        yield f"the reuse of a refresh token is {words} ({replay.at_once})"
    if replay.after_reuse is not None and not _granted(replay.late):
        ends = "stays valid" if _granted(replay.after_reuse) else "ends too"
        yield f"after a reuse the newest token {ends} ({replay.after_reuse})"


@check
def replay(replay: Replay) -> Iterator[Finding]:
    """Two refreshes at once log the user out, or a used refresh token works on; with --replay only.

    A used token must be refused after the declared ``grace`` (60 s unless declared).
    """
    won = any(map(_granted, replay.race))
    if not won or any(one in (0, 429) or one >= 500 for one in replay.race):
        raise Absent(f"two refreshes at once were answered {replay.race[0]} and {replay.race[1]}")
    found = []
    if not all(map(_granted, replay.race)) or (
        replay.after_race is not None and not _granted(replay.after_race)
    ):
        found.append(_race(replay))
    if _granted(replay.late):
        found.append(_undetected(replay))
    yield from found
    if not found:
        yield Finding(
            status=Status.OK,
            summary="Two refreshes at once both succeed, and the session goes on.",
            notes=tuple(_notes(replay)),
        )
