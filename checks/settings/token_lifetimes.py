from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.settings.application import ApplicationSettings, Stated


def _spell(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _finding(cause: Cause, summary: str, stated: list[Stated], remedy: Remedy) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=summary,
        evidence=tuple(
            Evidence(
                key=one.key,
                value=one.value,
                text=f"{one.place}: {one.key} is {_spell(float(str(one.value)))}",
                source=one.key,
            )
            for one in stated
        ),
        cause=cause,
        remedies=(remedy,),
    )


def _remedy(command: str, effect: str) -> Remedy:
    return Remedy(
        step=Step.CURE, command=command, effect=effect, changes_state=True, language="yaml"
    )


_SHORTER = _remedy(
    "access_token_expire_minutes: 15",
    "a stolen token serves a quarter of an hour; clients refresh more often",
)


def _expired(settings: ApplicationSettings) -> Iterator[Finding]:
    for name in ("access_token", "refresh_token", "session"):
        seconds = settings.seconds(name)
        if seconds is not None and seconds <= 0:
            stated = settings.values[name]
            cause = Cause(
                label="token.expires_at_once",
                confidence=Confidence.CERTAIN,
                because="a lifetime that is not positive ends before the first request",
            )
            yield _finding(
                cause,
                f"{stated.key} is {_spell(seconds)} ({stated.place}): it ends when it begins.",
                [stated],
                _remedy(f"{stated.key.rpartition('.')[2]}: 15", "logins last; choose your own"),
            )


def _against_each_other(settings: ApplicationSettings) -> Iterator[Finding]:
    access, refresh = settings.seconds("access_token"), settings.seconds("refresh_token")
    session = settings.seconds("session")
    if access is not None and refresh is not None and access >= refresh > 0:
        cause = Cause(
            label="token.access_outlives_refresh",
            confidence=Confidence.CERTAIN,
            because="the refresh token is dead when it is first needed, so users are logged out; "
            "and ending a session does not end its access token",
        )
        yield _finding(
            cause,
            f"Access tokens live {_spell(access)}, refresh tokens {_spell(refresh)}.",
            [settings.values["access_token"], settings.values["refresh_token"]],
            _SHORTER,
        )
    if access is not None and session is not None and 0 < session < access:
        cause = Cause(
            label="token.session_store_expiry",
            confidence=Confidence.CERTAIN,
            because="the session is gone from the store while its token still looks valid, so "
            "users are logged out in the midst of their work",
        )
        yield _finding(
            cause,
            f"Sessions are kept {_spell(session)}, their access tokens live {_spell(access)}.",
            [settings.values["session"], settings.values["access_token"]],
            _remedy(
                f"{settings.values['session'].key.rpartition('.')[2]}: ...  # {_spell(access)}+",
                "sessions outlast their tokens; the store holds more of them",
            ),
        )


def _too_long(settings: ApplicationSettings, longest: float) -> Iterator[Finding]:
    access = settings.seconds("access_token")
    if access is None or access <= longest or settings.development:
        return
    cause = Cause(
        label="token.access_too_long",
        confidence=Confidence.LIKELY,
        because="an access token cannot be taken back: a stolen one, and a dismissed employee's, "
        "serve until they end",
    )
    stated = settings.values["access_token"]
    yield _finding(
        cause,
        f"Access tokens live {_spell(access)} ({stated.place}); more than {_spell(longest)}.",
        [stated],
        _SHORTER,
    )


@check
def token_lifetimes(
    settings: ApplicationSettings, *, longest_access: float = 3600.0
) -> Iterator[Finding]:
    """Token and session lifetimes that contradict each other, or outlive their safety.

    ``longest_access`` in seconds; the usual advice is 5 to 60 minutes (RFC 9700 asks for short
    ones, without a number).
    """
    found = [
        *_expired(settings),
        *_against_each_other(settings),
        *_too_long(settings, longest_access),
    ]
    yield from found
    if found:
        return
    stated = [
        settings.values[name]
        for name in ("access_token", "refresh_token", "session")
        if name in settings.values
    ]
    if not stated:
        yield Finding(status=Status.SKIPPED, summary=f"{settings.source} states no lifetimes.")
        return
    spoken = ", ".join(f"{one.key} {_spell(float(str(one.value)))}" for one in stated)
    yield Finding(status=Status.OK, summary=f"The lifetimes agree: {spoken}.")
