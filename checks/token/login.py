from collections.abc import Iterator

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Remedy,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.token.grants import Grants
from backend_doctor.backends.token.times import span
from backend_doctor.backends.token.words import advice

_SOON = 3_600.0
_DIFFERENCE = 5.0


def _finding(
    status: Status,
    summary: str,
    evidence: tuple[str, str | int | float],
    cause: Cause,
    remedy: Remedy,
) -> Finding:
    key, value = evidence
    return Finding(
        status=status,
        summary=f"{summary}.",
        evidence=(
            Evidence(key=key, value=value, text=summary, source="login of the test account"),
        ),
        cause=cause,
        remedies=(remedy,),
        subjects=(Subject(kind="login", value="test account"),),
    )


def _no_refresh(grants: Grants) -> Finding:
    soon = grants.lives is not None and grants.lives <= _SOON
    after = f" when it ends, {span(grants.lives)} later" if grants.lives is not None else ""
    return _finding(
        Status.CRITICAL if soon else Status.WARNING,
        f"A login gives an access token and no refresh token: users are logged out{after}",
        ("refresh_token", "missing"),
        Cause(
            label="token.no_refresh",
            confidence=Confidence.CERTAIN,
            because="neither the answer nor a cookie holds a refresh token, so that only another "
            "login renews the session",
        ),
        advice(
            "Issue a refresh token at the login; with OAuth, ask for the scope offline_access.",
            "sessions last beyond the access token; keep that one short",
        ),
    )


def _refused(status: int) -> Finding:
    return _finding(
        Status.CRITICAL,
        f"The refresh token of a login that just succeeded is answered {status}",
        ("renewal_status", status),
        Cause(
            label="token.refresh_refused",
            confidence=Confidence.LIKELY,
            because="users are logged out when their first access token ends; or the refresh wants "
            "another form of body (body: json)",
        ),
        advice(
            "Look for the reason in the issuer's log; compare the refresh URL with the client's.",
            "says whether the token is unknown there, over, or not read",
        ),
    )


def _wrong_expires_in(said: float, lives: float) -> Finding:
    return _finding(
        Status.WARNING,
        f"The login says that the token expires in {span(said)}, but its exp lies {span(lives)} "
        "ahead",
        ("expires_in", said),
        Cause(
            label="token.expires_in_wrong",
            confidence=Confidence.LIKELY,
            because="clients that renew by expires_in come too late or too often; two settings "
            "differ, or the issuer's clock is wrong",
        ),
        advice('"expires_in": int(exp - time.time())', "one number, taken from the other"),
    )


def _short_refresh(refresh: float, lives: float) -> Finding:
    return _finding(
        Status.CRITICAL,
        f"The refresh token ends {span(refresh)} after the login, before the access token "
        f"({span(lives)})",
        ("refresh_lifetime_seconds", round(refresh)),
        Cause(
            label="token.refresh_too_short",
            confidence=Confidence.CERTAIN,
            because="it is over when it is needed first, so users are logged out then",
        ),
        advice(
            "Let refresh tokens live for days, access tokens for minutes.",
            "applies to logins from then on",
        ),
    )


def _too_soon(lives: float) -> Finding:
    return _finding(
        Status.CRITICAL,
        f"The access token of a fresh login ends in {span(lives)}",
        ("lifetime_seconds", round(lives)),
        Cause(
            label="token.expires_too_soon",
            confidence=Confidence.CERTAIN,
            because="users are logged out at once, or clients renew all the time",
        ),
        advice('"exp": datetime.now(UTC) + timedelta(minutes=15)', "for tokens from then on"),
    )


def _notes(grants: Grants) -> Iterator[str]:
    if grants.renewal is None and grants.refresh:
        yield "no refresh URL is declared, so no renewal was tried"
    if grants.renewal is not None and not grants.rotated:
        yield (
            "the refresh token stays the same: RFC 9700 wants it rotated, or bound to its sender, "
            "for public clients"
        )
    if grants.window == "slides":
        yield "each refresh moves the session's end on (sliding window)"
    if grants.window == "fixed" and grants.refresh_lives is not None:
        yield f"refreshes do not move the session's end, {span(grants.refresh_lives)} after login"


def _illnesses(grants: Grants, shortest: int) -> Iterator[Finding]:
    lives, renewal = grants.lives, grants.renewal
    if lives is not None and lives < shortest:
        yield _too_soon(lives)
    if not grants.refresh:
        yield _no_refresh(grants)
    if renewal is not None and 400 <= renewal <= 499 and renewal != 429:
        yield _refused(renewal)
    if lives is None:
        return
    if grants.expires_in is not None and abs(grants.expires_in - lives) > _DIFFERENCE:
        yield _wrong_expires_in(grants.expires_in, lives)
    if grants.refresh_lives is not None and grants.refresh_lives < lives:
        yield _short_refresh(grants.refresh_lives, lives)


@check
def login(grants: Grants, *, shortest: int = 60) -> Iterator[Finding]:
    """What a login gives ends too soon, cannot be renewed, or is said wrongly; with --login only.

    ``shortest`` is the least lifetime of a fresh access token, in seconds.
    """
    if grants.problem:
        raise Absent(
            f"the test account was not let in: {grants.problem}",
            remedy="check login, username, password, user_field and body of the token backend",
        )
    found = tuple(_illnesses(grants, shortest))
    yield from found
    if not found:
        lives = f"; it lives for {span(grants.lives)}" if grants.lives is not None else ""
        yield Finding(
            status=Status.OK,
            summary=f"A login gives an access token and a refresh token{lives}.",
            notes=tuple(_notes(grants)),
        )
