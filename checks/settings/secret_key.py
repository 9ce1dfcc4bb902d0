from collections.abc import Iterator

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
from backend_doctor.backends.settings.application import ApplicationSettings, StatedSecret

_GUESSABLE = {
    "placeholder": "is a placeholder from a tutorial or a template",
    "repeated": "repeats a few characters",
    "service name": "is the application's own name",
}
_NEW = Remedy(
    step=Step.CURE,
    command="python3 -c 'import secrets; print(secrets.token_urlsafe(48))'",
    effect="prints a new secret; set it as SECRET_KEY: every token and session signed with the "
    "old one ends",
    language="sh",
)
_REFUSE = Remedy(
    step=Step.PREVENT,
    command="Let the application refuse to start without a SECRET_KEY of 32 bytes or more.",
    effect="a template's value cannot reach production again",
    language="text",
)
_EXPORT = Remedy(
    step=Step.CONFIRM,
    command='test -n "${SECRET_KEY:-}" && echo set || echo missing',
    effect="run where the application runs: tells whether it has the variable, and not its value",
    language="sh",
)


def _evidence(secret: StatedSecret, text: str) -> Evidence:
    return Evidence(
        key="secret_bytes", value=secret.size, text=f"{secret.place}: {text}", source=secret.key
    )


def _guessable(secret: StatedSecret, settings: ApplicationSettings) -> Finding:
    how = _GUESSABLE[secret.weakness]
    fine = settings.development and secret.fallback
    bad = Status.CRITICAL if settings.production else Status.WARNING
    return Finding(
        status=Status.OK if fine else bad,
        summary=f"{secret.key} {how} ({secret.place}; {settings.where}).",
        evidence=(_evidence(secret, f"the value {how}; it is not shown"),),
        cause=None
        if fine
        else Cause(
            label="settings.default_secret",
            confidence=Confidence.CERTAIN,
            because="whoever tries the usual values can sign tokens with any user in them",
        ),
        remedies=() if fine else (_NEW, _REFUSE),
        explains=() if fine else ("token.weak_secret",),
        subjects=() if fine else (Subject(kind="login", value="by a guessable secret"),),
        notes=("only a fallback for development: production must set the variable",)
        if fine
        else (),
    )


def _short(secret: StatedSecret, settings: ApplicationSettings, least: int) -> Finding:
    fine = settings.development
    # below half of it, guessing the rest offline is a matter of money
    serious = settings.production and secret.size < least / 2
    bad = Status.CRITICAL if serious else Status.WARNING
    return Finding(
        status=Status.OK if fine else bad,
        summary=f"{secret.key} has {secret.size} bytes; {least} are the least that its "
        f"algorithm asks for ({secret.place}).",
        evidence=(
            _evidence(secret, f"{secret.size} bytes, {secret.distinct} different characters"),
        ),
        cause=None
        if fine
        else Cause(
            label="settings.short_secret",
            confidence=Confidence.CERTAIN,
            because="one token is enough to try keys offline, and a short key is found (RFC 7518, "
            "section 3.2)",
        ),
        remedies=() if fine else (_NEW, _REFUSE),
        notes=(f"{settings.where}: not for production",) if fine else (),
    )


def _unresolved(secret: StatedSecret) -> Finding:
    names = ", ".join(secret.unresolved)
    return Finding(
        status=Status.WARNING,
        summary=f"{secret.key} refers to {names}, which is not set here ({secret.place}).",
        evidence=(
            Evidence(
                key="unresolved",
                value=names,
                text=f"{secret.place}: the variable {names} is not set",
                source="environment",
            ),
        ),
        cause=Cause(
            label="settings.unresolved_secret",
            confidence=Confidence.LIKELY,
            because="an application that is started without the variable fails, or signs with the "
            "text of the reference itself, which everybody can read",
        ),
        remedies=(_EXPORT, _NEW, _REFUSE),
    )


def _judged(secret: StatedSecret, settings: ApplicationSettings, least: int) -> Finding:
    if secret.unresolved:
        return _unresolved(secret)
    if secret.weakness:
        return _guessable(secret, settings)
    if secret.size < least:
        return _short(secret, settings, least)
    return Finding(
        status=Status.OK,
        summary=f"{secret.key} has {secret.size} bytes and is none of the usual ones.",
        notes=(f"{secret.place} holds it in the clear: whoever reads the file can sign",)
        if secret.written
        else (),
    )


@check
def secret_key(settings: ApplicationSettings, *, least_bytes: int = 32) -> Iterator[Finding]:
    """The secret that signs tokens and sessions can be guessed, is short, or is not there.

    ``least_bytes`` is for HS256; HS384 and HS512 ask for 48 and 64 (RFC 7518, 3.2).
    """
    algorithm = settings.values.get("algorithm")
    named = str(algorithm.value).upper() if algorithm else "HS256"
    least = max(least_bytes, {"HS384": 48, "HS512": 64}.get(named, 0))
    for secret in settings.secrets:
        yield _judged(secret, settings, least)
    if not settings.secrets:
        yield Finding(status=Status.SKIPPED, summary=f"{settings.source} states no signing secret.")
