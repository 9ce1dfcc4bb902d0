"""What it means that a protected endpoint does not refuse by a 401 that clients can read: one row
for each way."""

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from backend_doctor.backends.token.protected import Answer
from backend_doctor.backends.token.words import advice
from backend_doctor.model import Cause, Confidence, Remedy, Status, Step


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A wrong answer. ``applies`` tells which are.

    ``summary`` holds the endpoint's ``{path}``, the ``{status}`` of the answer and ``{how}`` it was
    asked for; like the remedies, the page's ``{origin}`` too. ``grave`` is how bad it is where
    garbage is answered so, if that is worse than ``status``.
    """

    label: str
    summary: str
    because: str
    applies: Callable[[Answer], bool]
    remedies: tuple[Remedy, ...]
    status: Status = Status.WARNING
    grave: Status | None = None
    confidence: Confidence = Confidence.CERTAIN

    @property
    def cause(self) -> Cause:
        """As a finding names it."""
        return Cause(label=self.label, confidence=self.confidence, because=self.because)

    def remedies_for(self, origin: str) -> tuple[Remedy, ...]:
        """The remedies with the page's origin filled in."""
        return tuple(
            replace(remedy, command=remedy.command.replace("{origin}", origin))
            for remedy in self.remedies
        )


def _open(because: str, confidence: Confidence) -> Rule:
    return Rule(
        label="token.not_verified",
        summary="{path} is declared protected, and answers {status} {how}.",
        because=because,
        confidence=confidence,
        status=Status.CRITICAL,
        applies=lambda answer: answer.accepted,
        remedies=(
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
        ),
    )


OPEN = _open(
    "the endpoint asks for no token: it lacks the dependency that verifies, or is meant to be "
    "public",
    Confidence.LIKELY,
)
UNVERIFIED = _open(
    "a header suffices, whatever it holds: the token in it is never verified", Confidence.CERTAIN
)
REFUSALS = (
    Rule(
        label="token.forbidden_not_unauthorized",
        summary="{path} answers 403 {how}, where clients renew on a 401.",
        because="interceptors ask for a new token on 401 only; by 403 (known, and not allowed) an "
        "expired token ends in an error page or at the login",
        confidence=Confidence.LIKELY,
        grave=Status.CRITICAL,
        applies=lambda answer: answer.status == 403,
        remedies=(
            advice(
                'raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})',
                "clients renew their token and repeat the request",
            ),
            advice(
                "Update FastAPI to 0.122 or later: its HTTPBearer answered 403 before.",
                "a missing header gets a 401 without code of yours",
            ),
        ),
    ),
    Rule(
        label="token.redirect_not_unauthorized",
        summary="{path} redirects {how} ({status}), where clients renew on a 401.",
        because="scripts follow the redirect to a login page, and get HTML or a CORS error in "
        "place of a 401",
        confidence=Confidence.LIKELY,
        applies=lambda answer: 300 <= answer.status <= 399,
        remedies=(
            advice(
                "Redirect only requests that accept text/html; answer 401 to all others.",
                "people still see the login page, and clients renew their token",
            ),
        ),
    ),
    Rule(
        label="token.unauthorized_unreadable",
        summary="Pages of {origin} cannot read the {status} of {path}: it lacks the CORS headers.",
        because="the browser tells the script of a network error in place of a 401, so the "
        "interceptor never renews the token, and the user is logged out",
        status=Status.CRITICAL,
        applies=lambda answer: answer.refused and answer.readable is False,
        remedies=(
            advice(
                "app.add_middleware(CORSMiddleware, ...)  # last, so that it is the outermost",
                "errors of the layers inside carry the headers too",
            ),
            advice(
                'add_header Access-Control-Allow-Origin "{origin}" always;',
                "nginx: without `always` only successes have it; where nginx refuses by itself",
            ),
        ),
    ),
    Rule(
        label="token.verifier_error",
        summary="{path} answers {status} {how}, where a 401 belongs.",
        because="what decodes tokens raises an error that nothing catches; clients with a spoiled "
        "token cannot tell that from an outage, and do not renew it",
        applies=lambda answer: answer.failed,
        remedies=(
            advice(
                "except jwt.InvalidTokenError as error: raise HTTPException(401) from error",
                "every token that cannot be read gets a 401; catches PyJWT's errors of all kinds",
            ),
        ),
    ),
)
"""In the order in which they are told; an endpoint may show several."""
