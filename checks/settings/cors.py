import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.settings.application import ApplicationSettings, Stated

# names that nobody can own (RFC 2606): a pattern that fits them fits every origin
_STRANGERS = ("https://q7.invalid", "http://q7.invalid")
_LIST = Remedy(
    step=Step.CURE,
    command='allow_origins: ["https://app.example.com"]',
    effect="only the pages named may use a user's session; name each of yours",
    changes_state=True,
    language="yaml",
)


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _fits_any(pattern: str) -> bool:
    try:
        return any(re.fullmatch(pattern, origin) for origin in _STRANGERS)
    except re.error:
        return False


def _is_local(origin: str) -> bool:
    host = _host(origin)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _never_sent(origin: str) -> bool:
    """Whether no browser sends it so: an origin is scheme, host and port, and nothing more."""
    if origin in ("*", "null"):
        return False
    match = re.fullmatch(r"([a-zA-Z][a-zA-Z0-9+.\-]*)://([^/?#@\s]+)", origin)
    return match is None or "*" in match[2] or origin != origin.lower()


def _evidence(stated: Stated, text: str) -> Evidence:
    return Evidence(key=stated.key, value=text, text=f"{stated.place}: {text}", source=stated.key)


def _anybody(
    settings: ApplicationSettings, stated: Stated, credentials: Stated, cause: Cause, what: str
) -> Finding:
    return Finding(
        status=Status.CRITICAL if settings.production else Status.WARNING,
        summary=f"CORS allows {what} together with credentials ({stated.place}; {settings.where}).",
        evidence=(
            _evidence(stated, f"{stated.key} allows {what}"),
            _evidence(credentials, f"{credentials.key} is true"),
        ),
        cause=cause,
        remedies=(
            _LIST,
            Remedy(
                step=Step.PREVENT,
                command="allow_credentials: false",
                effect="for an API without cookies: then any origin may be allowed",
                changes_state=True,
                language="yaml",
            ),
        ),
        subjects=(Subject(kind="setting", value="allow_origins"),),
    )


def _holes(settings: ApplicationSettings) -> Iterator[Finding]:
    credentials = settings.flag("cors_credentials")
    origins, regex = settings.values.get("cors_origins"), settings.values.get("cors_origin_regex")
    if credentials is None:
        return
    if origins is not None and "*" in settings.texts("cors_origins"):
        cause = Cause(
            label="cors.wildcard_with_credentials",
            confidence=Confidence.CERTAIN,
            because="browsers refuse * with credentials, so requests with cookies fail; and a "
            "framework that answers with the caller's origin instead opens every user's "
            "session to every page",
        )
        yield _anybody(settings, origins, credentials, cause, "every origin (*)")
    if regex is not None and _fits_any(str(regex.value)):
        cause = Cause(
            label="cors.reflects_any_origin",
            confidence=Confidence.CERTAIN,
            because="the pattern fits every origin, so every page may use a user's session",
        )
        yield _anybody(settings, regex, credentials, cause, "every origin (a pattern)")


def _origins(
    settings: ApplicationSettings, stated: Stated, wrong: list[str], cause: Cause, what: str
) -> Finding:
    named = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    return Finding(
        status=Status.WARNING,
        summary=f"CORS allows {named}: {what} ({stated.place}; {settings.where}).",
        evidence=(_evidence(stated, f"allowed: {named}"),),
        cause=cause,
        remedies=(_LIST,),
    )


def _listed(settings: ApplicationSettings, stated: Stated) -> Iterator[Finding]:
    origins = settings.texts("cors_origins")
    lost = [origin for origin in origins if _never_sent(origin)]
    if lost:
        cause = Cause(
            label="cors.origin_never_matches",
            confidence=Confidence.CERTAIN,
            because="browsers send scheme, host and port in lower case, without a path, a slash "
            "at the end or a wildcard, and servers compare letter by letter",
        )
        yield _origins(settings, stated, lost, cause, "no browser sends that")
    if not settings.production:
        return
    local = [origin for origin in origins if origin not in lost and _is_local(origin)]
    if local:
        cause = Cause(
            label="cors.localhost_in_production",
            confidence=Confidence.CERTAIN,
            because="any program on a user's own machine that serves a page there may call the "
            "API as that user",
        )
        yield _origins(settings, stated, local, cause, "a developer's machine")
    plain = [o for o in origins if o.startswith("http://") and o not in (*lost, *local)]
    if plain:
        cause = Cause(
            label="cors.http_origin_in_production",
            confidence=Confidence.CERTAIN,
            because="a page without TLS can be changed on its way, and then calls the API as "
            "its user",
        )
        yield _origins(settings, stated, plain, cause, "pages without TLS")


@check
def cors(settings: ApplicationSettings) -> Iterator[Finding]:
    """The origins that the application is told to allow: all of them, wrong ones, lost ones."""
    stated = settings.values.get("cors_origins")
    found = [*_holes(settings), *(_listed(settings, stated) if stated is not None else ())]
    yield from found
    if found:
        return
    if stated is None:
        yield Finding(status=Status.SKIPPED, summary=f"{settings.source} states no CORS origins.")
        return
    count = len(settings.texts("cors_origins"))
    what = (
        "any origin, without credentials"
        if "*" in settings.texts("cors_origins")
        else (f"{count} origin{'' if count == 1 else 's'}")
    )
    yield Finding(status=Status.OK, summary=f"CORS allows {what} ({stated.place}).")
