from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Login,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.reachability import where_it_came_from
from backend_doctor.backends.settings.application import ApplicationSettings


@check
def readable(
    login: Login, settings: ApplicationSettings | None, instance: Instance
) -> Iterator[Finding]:
    """The application's settings can be read at all, and which of them refer to nothing."""
    if login.ok:
        unresolved = settings.unresolved if settings else ()
        notes = [f"{place} refers to a variable that is not set here" for place in unresolved]
        notes += settings.overridden if settings else ()
        yield Finding(
            status=Status.OK,
            summary=f"The settings in {instance.address} can be read.",
            notes=tuple(notes),
        )
        return
    yield Finding(
        status=Status.CRITICAL,
        summary=f"The application's settings cannot be read: {login.message}.",
        evidence=(
            Evidence(key="reading_failed", value=True, text=login.message, source=instance.address),
        ),
        cause=Cause(
            label="settings.unreadable",
            confidence=Confidence.CERTAIN,
            because="an application that is started with this file cannot read it either",
        ),
        remedies=(
            where_it_came_from(
                instance, effect="shows which file is meant and where its name came from"
            ),
            Remedy(
                step=Step.CURE,
                command="Mend the line that is named, or the path in the configuration.",
                effect="the file is read again at the application's next start",
                language="text",
            ),
        ),
        subjects=(Subject(kind="login", value=instance.address),),
    )
