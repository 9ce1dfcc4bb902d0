from collections.abc import Iterator

import msgspec

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

_LOUD = {"debug", "trace", "notset"}


class _Slip(msgspec.Struct, frozen=True):
    """What is fine for one developer and not in production."""

    stated: Stated
    cause: Cause
    cure: str
    effect: str
    serious: bool = False
    by_itself: bool = False


def _debug(stated: Stated) -> _Slip:
    return _Slip(
        stated,
        Cause(
            label="settings.debug_in_production",
            confidence=Confidence.CERTAIN,
            because="an error answers the client with source code, variables and settings",
        ),
        f"{stated.key}: false",
        "errors answer with a plain 500; the details stay in the log",
        serious=True,
        by_itself=True,
    )


def _reload(stated: Stated) -> _Slip:
    return _Slip(
        stated,
        Cause(
            label="settings.reload_in_production",
            confidence=Confidence.CERTAIN,
            because="the server watches files, restarts whenever one changes, and runs one "
            "process whatever server.workers says",
        ),
        f"{stated.key}: false",
        "requests in flight are no longer cut off by a restart, and all workers run",
    )


def _logging(stated: Stated) -> _Slip:
    return _Slip(
        stated,
        Cause(
            label="settings.debug_logging_in_production",
            confidence=Confidence.CERTAIN,
            because="drivers log statements, parameters and headers, secrets among them, and the "
            "volume slows every request",
        ),
        f"{stated.key}: INFO",
        "less is written; raise it for one logger at a time while looking for something",
    )


def _echo(stated: Stated) -> _Slip:
    return _Slip(
        stated,
        Cause(
            label="settings.sql_echo_in_production",
            confidence=Confidence.CERTAIN,
            because="SQLAlchemy logs every statement with its parameters, and that is users' data",
        ),
        f"{stated.key}: false",
        "statements are no longer logged; the database's own slow log serves",
    )


def _slips(settings: ApplicationSettings) -> Iterator[_Slip]:
    for name, slip in (("debug", _debug), ("reload", _reload), ("echo", _echo)):
        stated = settings.flag(name)
        if stated is not None:
            yield slip(stated)
    level = settings.values.get("log_level")
    if level is not None and str(level.value).strip().lower() in _LOUD:
        yield _logging(level)


def _finding(slip: _Slip, settings: ApplicationSettings) -> Finding:
    stated = slip.stated
    return Finding(
        status=Status.CRITICAL if slip.serious and settings.production else Status.WARNING,
        summary=f"{stated.key} is {str(stated.value).lower()} ({stated.place}), and "
        f"{settings.where}.",
        evidence=(
            Evidence(
                key=stated.key,
                value=str(stated.value).lower(),
                text=f"{stated.place}: {stated.key} is {str(stated.value).lower()}",
                source=settings.source,
            ),
        ),
        cause=slip.cause,
        remedies=(
            Remedy(
                step=Step.CURE,
                command=slip.cure,
                effect=f"after the next start, {slip.effect}",
                changes_state=True,
                language="yaml",
            ),
            Remedy(
                step=Step.PREVENT,
                command="Derive it from APP_ENV, and refuse to start in production with it.",
                effect="a developer's setting cannot be deployed",
                language="text",
            ),
        ),
    )


@check
def production_safety(settings: ApplicationSettings) -> Iterator[Finding]:
    """A developer's convenience is on in production: debug, reload, DEBUG logging, SQL echo.

    Where the environment is not stated, only debug is told, as it is a hole wherever it runs.
    """
    slips = list(_slips(settings))
    told = [
        slip
        for slip in slips
        if settings.production or (slip.by_itself and not settings.development)
    ]
    for slip in told:
        yield _finding(slip, settings)
    if not told:
        yield Finding(
            status=Status.OK,
            summary=f"Nothing is switched on that must not be: {settings.where}.",
            notes=tuple(
                f"{slip.stated.key} is {str(slip.stated.value).lower()} ({slip.stated.place}): "
                "not for production"
                for slip in slips
            ),
        )
