from collections.abc import Iterator

from backend_doctor import (
    Absent,
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
from backend_doctor.backends.token.protected import Answer, ProtectedAnswers
from backend_doctor.backends.token.words import advice

Told = tuple[tuple[str, Answer], ...]


def _evidence(told: Told) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            key=f"status_{words.replace(' ', '_')}",
            value=answer.status,
            text=f"{answer.status} {words}",
            source="GET of the declared protected endpoint",
        )
        for words, answer in told
    )


def _finding(
    answers: ProtectedAnswers,
    status: Status,
    summary: str,
    told: Told,
    cause: Cause,
    *remedies: Remedy,
) -> Finding:
    return Finding(
        status=status,
        summary=summary,
        evidence=_evidence(told),
        cause=cause,
        remedies=remedies,
        subjects=(Subject(kind="endpoint", value=answers.path),),
    )


def _cannot_tell(answers: ProtectedAnswers) -> str:
    """Why nothing can be said of tokens, or ""."""
    without = answers.without
    if not without.status:
        return f"{answers.path} gave no answer: {without.problem}"
    if answers.throttled:
        return f"{answers.path} answers 429: it was asked too often"
    if without.failed:
        return f"{answers.path} answers {without.status} even without a token"
    if without.status in (404, 405):
        return f"{answers.path} answers {without.status}: declare a path that answers GET"
    return ""


def _open(answers: ProtectedAnswers, accepted: Told) -> Finding:
    anyone = answers.without.accepted
    how = accepted[0][0]
    return _finding(
        answers,
        Status.CRITICAL,
        f"{answers.path} is declared protected, and answers {accepted[0][1].status} {how}.",
        accepted,
        Cause(
            label="token.not_verified",
            confidence=Confidence.LIKELY if anyone else Confidence.CERTAIN,
            because="the endpoint asks for no token: it lacks the dependency that verifies, or is "
            "meant to be public"
            if anyone
            else "a header suffices, whatever it holds: the token in it is never verified",
        ),
        advice(
            "@app.get(..., dependencies=[Depends(current_user)])",
            "every request needs a token that verifies; those without get a 401",
            Step.STOP,
        ),
        advice(
            "Refuse an empty token: `if not token: raise HTTPException(401)`; "
            'OAuth2PasswordBearer hands on "" for `Authorization: Bearer`.',
            "an empty token is none",
        ),
    )


def _forbidden(answers: ProtectedAnswers, forbidden: Told) -> Finding:
    invalid = any(answer is answers.garbage for _, answer in forbidden)
    return _finding(
        answers,
        Status.CRITICAL if invalid else Status.WARNING,
        f"{answers.path} answers 403 {forbidden[-1][0]}, where clients renew on a 401.",
        forbidden,
        Cause(
            label="token.forbidden_not_unauthorized",
            confidence=Confidence.LIKELY,
            because="interceptors ask for a new token on 401 only; by 403 (known, and not allowed) "
            "an expired token ends in an error page or at the login",
        ),
        advice(
            'raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})',
            "clients renew their token and repeat the request",
        ),
        advice(
            "Update FastAPI to 0.122 or later: its HTTPBearer answered 403 before.",
            "a missing header gets a 401 without code of yours",
        ),
    )


def _redirected(answers: ProtectedAnswers, redirected: Told) -> Finding:
    return _finding(
        answers,
        Status.WARNING,
        f"{answers.path} redirects {redirected[0][0]} ({redirected[0][1].status}), where "
        "clients renew on a 401.",
        redirected,
        Cause(
            label="token.redirect_not_unauthorized",
            confidence=Confidence.LIKELY,
            because="scripts follow the redirect to a login page, and get HTML or a CORS error "
            "in place of a 401",
        ),
        advice(
            "Redirect only requests that accept text/html; answer 401 to all others.",
            "people still see the login page, and clients renew their token",
        ),
    )


def _unreadable(answers: ProtectedAnswers, hidden: Told) -> Finding:
    return _finding(
        answers,
        Status.CRITICAL,
        f"Pages of {answers.origin} cannot read the {hidden[0][1].status} of "
        f"{answers.path}: it lacks the CORS headers.",
        hidden,
        Cause(
            label="token.unauthorized_unreadable",
            confidence=Confidence.CERTAIN,
            because="the browser tells the script of a network error in place of a 401, so the "
            "interceptor never renews the token, and the user is logged out",
        ),
        advice(
            "app.add_middleware(CORSMiddleware, ...)  # last, so that it is the outermost",
            "errors of the layers inside carry the headers too",
        ),
        advice(
            'add_header Access-Control-Allow-Origin "https://myapp.com" always;',
            "nginx: without `always` only successes have it; where nginx refuses by itself",
        ),
    )


def _breaks(answers: ProtectedAnswers, failed: Told) -> Finding:
    return _finding(
        answers,
        Status.WARNING,
        f"{answers.path} answers {failed[0][1].status} {failed[0][0]}, where a 401 belongs.",
        failed,
        Cause(
            label="token.verifier_error",
            confidence=Confidence.CERTAIN,
            because="what decodes tokens raises an error that nothing catches; clients with a "
            "spoiled token cannot tell that from an outage, and do not renew it",
        ),
        advice(
            "except jwt.InvalidTokenError as error: raise HTTPException(401) from error",
            "every token that cannot be read gets a 401; catches PyJWT's errors of all kinds",
        ),
    )


def _notes(answers: ProtectedAnswers) -> Iterator[str]:
    refused = [answer for _, answer in answers.told if answer.status == 401]
    if refused and not all(answer.challenge for answer in refused):
        yield "a 401 without WWW-Authenticate, which RFC 9110 asks for"
    if refused and not answers.origin:
        yield "no page's origin is declared, so CORS of the 401 was not judged"


@check
def protected(answers: ProtectedAnswers) -> Iterator[Finding]:
    """A protected endpoint that lets anyone in, or refuses so that clients do not renew.

    Asked by GET without a token, with an empty one and with one that is garbage: 401 is right.
    """
    why_not = _cannot_tell(answers)
    if why_not:
        raise Absent(why_not)
    told = answers.told
    accepted = tuple(one for one in told if one[1].accepted)
    if accepted:
        yield _open(answers, accepted)
        return
    found = []
    if forbidden := tuple(one for one in told if one[1].status == 403):
        found.append(_forbidden(answers, forbidden))
    if redirected := tuple(one for one in told if 300 <= one[1].status <= 399):
        found.append(_redirected(answers, redirected))
    if hidden := tuple(one for one in told if one[1].refused and one[1].readable is False):
        found.append(_unreadable(answers, hidden))
    if failed := tuple(one for one in told if one[1].failed):
        found.append(_breaks(answers, failed))
    yield from found
    if not found:
        yield Finding(
            status=Status.OK,
            summary=f"{answers.path} answers {answers.without.status} without a valid token.",
            notes=tuple(_notes(answers)),
        )
